// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/cpu/attention_backward_kernels.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace vitrine::internal {
namespace {

using cpu::KvLayout;
using cpu::QueryTile;
using cpu::ScoreRows;

constexpr int64_t kPanel = KvLayout::kPanel;
constexpr int64_t kGrain = 1 << 17;  // multiplications of one product that are worth a thread

/// One head of one sequence: the unit of work, since a key's gradient is a sum over all later
/// queries. Copies of its keys and values are in the layout of the forward pass's kernels, each in
/// both roles: as keys (columns of a product) and as values (rows).
class Head {
 public:
  static int64_t floats(const AttentionBackwardArgs& args, int64_t rows) {
    const KvLayout layout{1, args.head_width, rows};
    const int64_t caches = 2 * static_cast<int64_t>(layout.bytes() / sizeof(float));
    const int64_t tile = 2 * QueryTile::kQueryTile * ScoreRows::stride_for(rows);
    return caches + tile + 2 * rows * layout.value_panels() * kPanel + 3 * cpu::mix_floats(layout);
  }

  Head(const AttentionBackwardArgs& args, const SequenceSlice& slice, int64_t head, float* memory)
      : args_(args),
        slice_(slice),
        head_(head),
        column_(head * args.head_width),
        layout_{1, args.head_width, slice.rows} {
    slice_.cache = 0;
    slice_.capacity = slice.rows;
    const auto take = [&memory](int64_t count) { return std::exchange(memory, memory + count); };
    const auto cache_floats = static_cast<int64_t>(layout_.bytes() / sizeof(float));
    keys_ = reinterpret_cast<std::byte*>(take(cache_floats));
    values_ = reinterpret_cast<std::byte*>(take(cache_floats));
    const int64_t stride = ScoreRows::stride_for(slice.rows);
    first_ = {take(QueryTile::kQueryTile * stride), stride};
    second_ = {take(QueryTile::kQueryTile * stride), stride};
    sum_floats_ = slice.rows * layout_.value_panels() * kPanel;
    key_sums_ = take(sum_floats_);
    value_sums_ = take(sum_floats_);
    mixed_ = take(cpu::mix_floats(layout_));
    query_rows_ = take(cpu::mix_floats(layout_));
    dz_rows_ = take(cpu::mix_floats(layout_));
  }

  /// f(tile) for the tiles of the head, in ascending order.
  template <class F>
  void for_each_tile(const F& f) {
    for (int64_t first = 0; first < slice_.rows; first += QueryTile::kQueryTile) {
      f(QueryTile{&slice_, layout_, 0, first, std::min(QueryTile::kQueryTile, slice_.rows - first),
                  args_.window});
    }
  }

  void place_keys() { place(args_.k, keys_); }
  void place_values() { place(args_.v, values_); }
  void clear_sums() { std::fill(key_sums_, value_sums_ + sum_floats_, 0.0f); }

  ScoreRows pattern(const QueryTile& tile) {
    cpu::score_tile(
        {.q = args_.q.columns(column_, args_.head_width), .scale = args_.scale, .cache = keys_},
        tile, first_);
    for (int64_t i = 0; i < tile.rows; ++i) {
      cpu::mask_row(tile, i, first_.row(i), -std::numeric_limits<float>::infinity());
      cpu::softmax_row(first_.row(i), tile.length(i), first_.row(i));
    }
    return first_;
  }
  ScoreRows dpattern(const QueryTile& tile) {
    cpu::score_tile({.q = args_.dz.columns(column_, args_.head_width), .cache = values_}, tile,
                    second_);
    for (int64_t i = 0; i < tile.rows; ++i) cpu::mask_row(tile, i, second_.row(i), 0.0f);
    return second_;
  }
  /// A tile's rows of a map of the whole batch.
  ScoreRows rows_of(float* map, const QueryTile& tile) const {
    return {map + in_batch(tile).map(0), tile.total()};
  }
  void write(float* map, const QueryTile& tile, ScoreRows rows) const {
    for (int64_t i = 0; map != nullptr && i < tile.rows; ++i)
      cpu::write_map(map, in_batch(tile), i, rows.row(i), 0.0f);
  }

  void add_values(const QueryTile& tile, ScoreRows pattern) {
    cpu::pack_query_rows(args_.dz, tile, column_, dz_rows_);
    cpu::add_to_keys(tile, pattern, dz_rows_, value_sums_);
  }
  void queries_and_keys(const QueryTile& tile, ScoreRows dscores) {
    const Mat dq = args_.dq.columns(column_, args_.head_width);
    cpu::mix_tile({.cache = keys_, .z = dq}, tile, dscores, mixed_);
    for (int64_t i = 0; i < tile.rows; ++i)
      cpu::scaled_row(dq.row(tile.row(i)), dq.cols, args_.scale, dq.row(tile.row(i)));
    cpu::pack_query_rows(args_.q, tile, column_, query_rows_);
    cpu::add_to_keys(tile, dscores, query_rows_, key_sums_);
  }
  /// The gradients of keys and values, once all tiles have been added; with a frozen pattern zeros
  /// for queries and keys.
  void finish() {
    const int64_t stride = layout_.value_panels() * kPanel;
    for (int64_t j = 0; j < slice_.rows; ++j) {
      const int64_t row = slice_.row + j;
      cpu::scaled_row(key_sums_ + j * stride, args_.head_width, args_.scale,
                      args_.dk.row(row) + column_);
      std::copy_n(value_sums_ + j * stride, args_.head_width, args_.dv.row(row) + column_);
      if (args_.frozen) std::fill_n(args_.dq.row(row) + column_, args_.head_width, 0.0f);
    }
  }

 private:
  void place(Mat rows, std::byte* cache) {
    const Mat own = rows.columns(column_, args_.head_width);
    for (int64_t p = 0; p * kPanel < slice_.rows; ++p)
      cpu::append_panel(own, own, layout_, cache, slice_, p);
  }
  /// Within the working memory a head stands alone; in a map it has its place.
  QueryTile in_batch(const QueryTile& tile) const {
    QueryTile placed = tile;
    placed.head = head_;
    return placed;
  }

  const AttentionBackwardArgs& args_;
  SequenceSlice slice_;
  int64_t head_, column_;
  KvLayout layout_;
  std::byte *keys_, *values_;
  ScoreRows first_, second_;
  float *key_sums_, *value_sums_, *mixed_, *query_rows_, *dz_rows_;
  int64_t sum_floats_;
};

/// f(head) for every head of every sequence, the longest sequences first.
template <class F>
void for_each_head(const AttentionBackwardArgs& args, int threads, cpu::ScratchPool& scratch,
                   const F& f) {
  std::vector<SequenceSlice> slices(args.batch->sequences.begin(), args.batch->sequences.end());
  std::stable_sort(slices.begin(), slices.end(),
                   [](const SequenceSlice& a, const SequenceSlice& b) { return a.rows > b.rows; });
  while (!slices.empty() && slices.back().rows == 0) slices.pop_back();
  if (slices.empty()) return;
  int64_t work = 0;
  for (const SequenceSlice& s : slices) work += s.rows * s.rows * args.head_width * args.heads;
  threads = cpu::worthwhile(threads, work / kGrain);
  const int64_t each = (Head::floats(args, slices.front().rows) + 15) / 16 * 16;
  const auto lease = scratch.borrow(static_cast<size_t>(threads * each));
  cpu::parallel_for(threads, static_cast<int64_t>(slices.size()) * args.heads,
                    [&](int64_t i, int worker) {
                      Head head(args, slices[static_cast<size_t>(i / args.heads)], i % args.heads,
                                lease.f32() + worker * each);
                      f(head);
                    });
}

void softmax_backward(const QueryTile& tile, ScoreRows pattern, ScoreRows dpattern,
                      ScoreRows dscores) {
  for (int64_t i = 0; i < tile.rows; ++i)
    cpu::softmax_backward_row(pattern.row(i), dpattern.row(i), tile.length(i), dscores.row(i));
}

}  // namespace

void CpuBackend::attention_backward(const AttentionBackwardArgs& args) {
  for_each_head(args, threads_, scratch_, [&](Head& head) {
    const bool whole = !args.frozen || args.dpattern != nullptr;
    head.place_keys();
    if (whole) head.place_values();
    head.clear_sums();
    head.for_each_tile([&](const QueryTile& tile) {
      const ScoreRows pattern = head.pattern(tile);
      head.add_values(tile, pattern);
      if (!whole) return;
      const ScoreRows gradient = head.dpattern(tile);
      head.write(args.dpattern, tile, gradient);
      if (args.frozen) return;
      softmax_backward(tile, pattern, gradient, gradient);
      head.write(args.dscores, tile, gradient);
      head.queries_and_keys(tile, gradient);
    });
    head.finish();
  });
}

void CpuBackend::attention_backward_pattern(const AttentionBackwardArgs& args) {
  for_each_head(args, threads_, scratch_, [&](Head& head) {
    head.place_values();
    head.for_each_tile(
        [&](const QueryTile& tile) { head.write(args.dpattern, tile, head.dpattern(tile)); });
  });
}

void CpuBackend::attention_backward_scores(const AttentionBackwardArgs& args) {
  for_each_head(args, threads_, scratch_, [&](Head& head) {
    head.for_each_tile([&](const QueryTile& tile) {
      const ScoreRows dscores = head.rows_of(args.dscores, tile);
      softmax_backward(tile, head.rows_of(args.pattern, tile), head.rows_of(args.dpattern, tile),
                       dscores);
      head.write(args.dscores, tile, dscores);
    });
  });
}

void CpuBackend::attention_backward_inputs(const AttentionBackwardArgs& args) {
  for_each_head(args, threads_, scratch_, [&](Head& head) {
    head.place_keys();
    head.clear_sums();
    head.for_each_tile([&](const QueryTile& tile) {
      head.add_values(tile, head.rows_of(args.pattern, tile));
      if (!args.frozen) head.queries_and_keys(tile, head.rows_of(args.dscores, tile));
    });
    head.finish();
  });
}

}  // namespace vitrine::internal
