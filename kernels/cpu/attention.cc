// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace vitrine::internal {
namespace cpu {

void mask_row(const QueryTile& tile, int64_t i, float* row, float masked) {
  std::fill_n(row, tile.begin(i), masked);
}

void write_map(float* map, const QueryTile& tile, int64_t i, const float* row, float masked) {
  float* to = map + tile.map(i);
  if (to != row) std::memcpy(to, row, static_cast<size_t>(tile.length(i)) * sizeof(float));
  std::fill(to + tile.length(i), to + tile.total(), masked);
}

void append_panel(Mat k, Mat v, const KvLayout& layout, std::byte* cache, const SequenceSlice& s,
                  int64_t panel) {
  const int64_t begin = std::max(panel * KvLayout::kPanel, s.past),
                end = std::min((panel + 1) * KvLayout::kPanel, s.past + s.rows);
  for (int64_t h = 0; h < layout.heads; ++h) {
    float* keys = layout.keys(cache, h) + panel * KvLayout::kPanel * layout.width;
    float* values = layout.values(cache, h);
    for (int64_t position = begin; position < end; ++position) {
      const float* key = k.row(s.row + position - s.past) + h * layout.width;
      const float* value = v.row(s.row + position - s.past) + h * layout.width;
      for (int64_t c = 0; c < layout.width; ++c)
        keys[c * KvLayout::kPanel + position % KvLayout::kPanel] = key[c];
      for (int64_t c = 0; c < layout.width; c += KvLayout::kPanel) {
        std::memcpy(
            values + c * layout.capacity + position * KvLayout::kPanel, value + c,
            static_cast<size_t>(std::min(KvLayout::kPanel, layout.width - c)) * sizeof(float));
      }
    }
  }
}

}  // namespace cpu

namespace {

using cpu::KvLayout;
using cpu::QueryTile;
using cpu::ScoreRows;

constexpr int64_t kPanel = KvLayout::kPanel;
constexpr int64_t kGrain = 1 << 17;  // multiplications that are worth waking threads

// All tiles of all heads of all sequences, the longest first: they are handed out in this order, so
// the short ones level out the threads' loads in the end.
std::vector<QueryTile> tiles_of(const AttentionArgs& args) {
  std::vector<QueryTile> tiles;
  for (const SequenceSlice& s : args.batch->sequences) {
    for (int64_t first = 0; first < s.rows; first += QueryTile::kQueryTile) {
      for (int64_t h = 0; h < args.heads; ++h) {
        tiles.push_back({&s,
                         {args.heads, args.head_width, s.capacity},
                         h,
                         first,
                         std::min(QueryTile::kQueryTile, s.rows - first),
                         args.window});
      }
    }
  }
  std::stable_sort(tiles.begin(), tiles.end(), [](const QueryTile& a, const QueryTile& b) {
    return a.rows * a.longest() > b.rows * b.longest();
  });
  return tiles;
}

// f(tile, scores, sums): with working memory for the scores of a tile and for its z, each thread
// its own.
template <typename F>
void for_each_tile(const AttentionArgs& args, int threads, cpu::ScratchPool& scratch, const F& f) {
  const std::vector<QueryTile> tiles = tiles_of(args);
  int64_t longest = 0, work = 0, sums = 0;
  for (const QueryTile& tile : tiles) {
    longest = std::max(longest, tile.longest());
    sums = cpu::mix_floats(tile.layout);
    work += tile.rows * tile.longest() * tile.layout.width * 2;
  }
  threads = cpu::worthwhile(threads, work / kGrain);
  const int64_t stride = ScoreRows::stride_for(longest),
                each = sums + QueryTile::kQueryTile * stride;
  const auto lease = scratch.borrow(static_cast<size_t>(threads * each));
  cpu::parallel_for(threads, static_cast<int64_t>(tiles.size()), [&](int64_t i, int worker) {
    float* memory = lease.f32() + worker * each;
    f(tiles[static_cast<size_t>(i)], ScoreRows{memory + sums, stride}, memory);
  });
}

constexpr float kMaskedScore = -std::numeric_limits<float>::infinity();

}  // namespace

size_t CpuBackend::kv_bytes(int64_t capacity, int heads, int head_width, DType) const {
  return KvLayout{heads, head_width, capacity}.bytes();
}

void CpuBackend::append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                           std::byte* cache) {
  for (const SequenceSlice& s : batch.sequences) {
    const int64_t first = s.past / kPanel, panels = (s.past + s.rows - 1) / kPanel - first + 1;
    cpu::parallel_chunks(
        threads_, panels, kGrain / (kPanel * k.cols) + 1, [&](int64_t begin, int64_t end) {
          for (int64_t p = first + begin; p < first + end; ++p)
            cpu::append_panel(k, v, {heads, head_width, s.capacity}, cache + s.cache, s, p);
        });
  }
}

void CpuBackend::attention(const AttentionArgs& args) {
  for_each_tile(
      args, threads_, scratch_, [&](const QueryTile& tile, ScoreRows scores, float* sums) {
        cpu::score_tile(args, tile, scores);
        for (int64_t i = 0; i < tile.rows; ++i) {
          cpu::mask_row(tile, i, scores.row(i), kMaskedScore);
          if (args.scores != nullptr)
            cpu::write_map(args.scores, tile, i, scores.row(i), kMaskedScore);
          const float lse = cpu::softmax_row(scores.row(i), tile.length(i), scores.row(i));
          if (args.lse) args.lse.row(tile.row(i))[tile.head] = lse;
          if (args.pattern != nullptr) cpu::write_map(args.pattern, tile, i, scores.row(i), 0.0f);
        }
        cpu::mix_tile(args, tile, scores, sums);
      });
}

void CpuBackend::attention_scores(const AttentionArgs& args) {
  for_each_tile(args, threads_, scratch_, [&](const QueryTile& tile, ScoreRows scores, float*) {
    cpu::score_tile(args, tile, scores);
    for (int64_t i = 0; i < tile.rows; ++i) {
      cpu::mask_row(tile, i, scores.row(i), kMaskedScore);
      cpu::write_map(args.scores, tile, i, scores.row(i), kMaskedScore);
    }
  });
}

void CpuBackend::attention_softmax(const AttentionArgs& args) {
  for_each_tile(args, threads_, scratch_, [&](const QueryTile& tile, ScoreRows, float*) {
    for (int64_t i = 0; i < tile.rows; ++i) {
      float* pattern = args.pattern + tile.map(i);
      cpu::mask_row(tile, i, args.scores + tile.map(i), kMaskedScore);
      const float lse = cpu::softmax_row(args.scores + tile.map(i), tile.length(i), pattern);
      if (args.lse) args.lse.row(tile.row(i))[tile.head] = lse;
      cpu::write_map(args.pattern, tile, i, pattern, 0.0f);
    }
  });
}

void CpuBackend::attention_mix(const AttentionArgs& args) {
  for_each_tile(args, threads_, scratch_, [&](const QueryTile& tile, ScoreRows, float* sums) {
    const ScoreRows pattern{args.pattern + tile.map(0), tile.total()};
    for (int64_t i = 0; i < tile.rows; ++i) cpu::mask_row(tile, i, pattern.row(i), 0.0f);
    cpu::mix_tile(args, tile, pattern, sums);
  });
}

}  // namespace vitrine::internal
