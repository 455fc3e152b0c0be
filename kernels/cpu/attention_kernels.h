// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/backend/backward.h"
#include "kernels/cpu/kv_layout.h"

// Attention of a few neighbouring queries of one head of one sequence: the unit of work of all four
// attention operations, which share these three steps and therefore their bits.

namespace vitrine::internal::cpu {

/// Queries [first, first + rows) of a sequence's new tokens, at most kQueryTile.
struct QueryTile {
  static constexpr int64_t kQueryTile = 48;

  const SequenceSlice* sequence = nullptr;
  KvLayout layout{};
  int64_t head = 0;
  int64_t first = 0, rows = 0;
  int64_t window = 0;  ///< of AttentionArgs

  /// Positions up to query i of the tile, itself included.
  int64_t length(int64_t i) const { return sequence->past + first + i + 1; }
  /// The first of them that it attends to.
  int64_t begin(int64_t i) const {
    return window > 0 && length(i) > window ? length(i) - window : 0;
  }
  int64_t longest() const { return length(rows - 1); }
  /// Columns of the sequence's maps.
  int64_t total() const { return sequence->past + sequence->rows; }
  /// The row of query i in the packed batch.
  int64_t row(int64_t i) const { return sequence->row + first + i; }
  /// Where the row of query i begins in a map.
  int64_t map(int64_t i) const {
    return sequence->map + (head * sequence->rows + first + i) * total();
  }
};

/// Scores of a tile, in working memory or in a map: query i at data + i * stride. As working memory
/// a row has room for its length rounded up to a panel.
struct ScoreRows {
  float* data = nullptr;
  int64_t stride = 0;

  float* row(int64_t i) const { return data + i * stride; }
  /// An odd number of cache lines a row, so that a tile's rows do not compete for the same sets of
  /// the cache.
  static int64_t stride_for(int64_t length) { return (length + 31) / 32 * 32 + 16; }
};

/// scale * q.k for all keys that a query sees. Elements after its length are undefined.
void score_tile(const AttentionArgs& args, const QueryTile& tile, ScoreRows scores);

/// pattern[j] = exp(scores[j] - max) / sum for j < length, in place if pattern is scores. Returns
/// log sum exp.
float softmax_row(const float* scores, int64_t length, float* pattern);

/// The new tokens whose positions lie in panel `panel` of the keys: a key becomes a column of its
/// panel, a value a row of its own.
void append_panel(Mat k, Mat v, const KvLayout& layout, std::byte* cache, const SequenceSlice& s,
                  int64_t panel);

/// Writes `masked` to the positions of row i that the window of its query leaves out.
void mask_row(const QueryTile& tile, int64_t i, float* row, float masked);

/// Writes row i of a tile into a map, `masked` after its length.
void write_map(float* map, const QueryTile& tile, int64_t i, const float* row, float masked);

/// z = pattern times values. `sums` is working memory of mix_floats().
void mix_tile(const AttentionArgs& args, const QueryTile& tile, ScoreRows pattern, float* sums);
inline int64_t mix_floats(const KvLayout& layout) {
  return QueryTile::kQueryTile * layout.value_panels() * KvLayout::kPanel;
}

}  // namespace vitrine::internal::cpu
