// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "kernels/cuda/attention/paths.h"
#include "kernels/cuda/attention/tile.cuh"
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/runtime/batch.h"
#include "kernels/cuda/runtime/launch.h"

// The kernels of attention as CudaBackend chooses among them, and what they share beyond a warp's
// arithmetic.

namespace vitrine::internal::cuda {

/// Maximum number of new tokens of a sequence that is split over its keys (attend_few); longer ones
/// are split over their queries (attend_many).
inline constexpr int kFewQueries = 8;
/// Wider heads go to attend_wide.
inline constexpr int kWidestHead = 128;

/// (sequence, head) pairs in a batch.
inline size_t head_count(const AttentionArgs& args) {
  return args.batch->sequences.size() * static_cast<size_t>(args.heads);
}

/// New tokens of the sequence with the most.
inline int64_t longest_rows(const AttentionArgs& args) {
  int64_t longest = 0;
  for (const SequenceSlice& slice : args.batch->sequences) longest = std::max(longest, slice.rows);
  return longest;
}

/// New tokens' keys and values that are not yet in the cache, each [rows, H K]; or null.
struct NewKeysAndValues {
  Mat k{}, v{};
};
/// The others; `tiles` of keys at most in any of them. Appends `fresh` to the cache. `partials` are
/// few_partial_bytes() of memory, `counters` head_count() zeros.
void attend_few(Device& device, const AttentionArgs& args, const NewKeysAndValues& fresh, int few,
                int64_t tiles, std::byte* partials, uint32_t* counters);
size_t few_partial_bytes(const AttentionArgs& args, int few, int64_t tiles);
/// Any sequences, straight from global memory.
void attend_wide(Device& device, const AttentionArgs& args);
/// Writes the requested maps; the pattern needs args.lse. `tiles` of keys at most in any sequence.
void write_maps(Device& device, const AttentionArgs& args, int64_t tiles);

/// This lane's 16 bytes of a row of `width` channels, from `channel` on; zeros after the last.
template <class T>
VITRINE_DEVICE Chunk load_channels(const T* row, int channel, int width) {
  if (channel >= width) return {};
  const T* from = row + channel;
  if (channel + kChunk<T> <= width && reinterpret_cast<uintptr_t>(from) % 16 == 0)
    return load_chunk(from);
  return load_part(from, width - channel);
}

/// One head of one sequence. New tokens are counted from the sequence's first.
template <class T>
struct HeadView {
  const AttentionArgs& args;
  int head, first_row;  ///< the row of the packed batch that is new token 0
  int rows, past;
  T *keys, *values;  ///< as KvLayout has them
  int key_stride, value_stride;

  VITRINE_DEVICE HeadView(const AttentionArgs& arguments, const SequenceSlice& slice, int which)
      : args(arguments),
        head(which),
        first_row(static_cast<int>(slice.row)),
        rows(static_cast<int>(slice.rows)),
        past(static_cast<int>(slice.past)) {
    const KvLayout<T> layout{args.heads, args.head_width, slice.capacity};
    keys = layout.keys(args.cache + slice.cache, head);
    values = layout.values(args.cache + slice.cache, head);
    key_stride = static_cast<int>(layout.padded_width());
    value_stride = static_cast<int>(layout.padded_capacity());
  }

  VITRINE_DEVICE int width() const { return args.head_width; }
  VITRINE_DEVICE const T* key(int position) const {
    return keys + static_cast<int64_t>(position) * key_stride;
  }
  VITRINE_DEVICE const T* value(int channel) const {
    return values + static_cast<int64_t>(channel) * value_stride;
  }
  VITRINE_DEVICE const T* q(int row) const { return of_row<const T>(args.q, row) + head * width(); }
  VITRINE_DEVICE T* z(int row) const { return of_row<T>(args.z, row) + head * width(); }
  /// Null if the log-sum-exp was not requested.
  VITRINE_DEVICE float* lse(int row) const {
    return args.lse.data == nullptr ? nullptr : of_row<float>(args.lse, row) + head;
  }
  template <class E>
  VITRINE_DEVICE E* of_row(const Mat& mat, int row) const {
    return reinterpret_cast<E*>(mat.data) + static_cast<int64_t>(first_row + row) * mat.stride;
  }

  /// The new tokens from `first` on as one warp's queries, at most `most` of them.
  template <class Rows = QueryRows>
  VITRINE_DEVICE Rows queries(int first, int most = 16) const {
    const QueryRows found{past + first + 1, std::clamp(rows - first, 0, most)};
    if constexpr (Rows::kWindowed)
      return {found, static_cast<int>(args.window)};
    else
      return found;
  }

  /// This lane's 16 bytes of a span of query `row`; zeros outside the queries or channels.
  VITRINE_DEVICE Chunk query(int row, int span) const {
    return row < rows ? load_channels(q(row), span * kSpan<T> + lane_quad() * kChunk<T>, width())
                      : Chunk{};
  }

  /// The same of all spans of query lane_row(), issued together.
  template <int kSpans>
  VITRINE_DEVICE void load_queries(Chunk (&spans)[kSpans]) const {
    const int row = lane_row(), first = lane_quad() * kChunk<T>;
    const int left = row < rows ? width() - first : 0;
    const T* from = q(row) + first;
    if (width() % kChunk<T> == 0 && reinterpret_cast<uintptr_t>(from) % sizeof(Chunk) == 0) {
#pragma unroll
      for (int span = 0; span < kSpans; ++span)
        spans[span] = span * kSpan<T> < left ? load_chunk(from + span * kSpan<T>) : Chunk{};
    } else {
#pragma unroll
      for (int span = 0; span < kSpans; ++span)
        spans[span] = load_part(from + span * kSpan<T>, left - span * kSpan<T>);
    }
  }

  /// scores += q.k of 16 queries and a tile of keys over all channels.
  VITRINE_DEVICE void add_all_scores(float (&scores)[kKeyBlocks][4], int first, int begin) const {
    for (int span = 0; span * kSpan<T> < width(); ++span) {
      const Operand<T> top = operand<T>(query(first + lane_row(), span)),
                       bottom = operand<T>(query(first + lane_row() + 8, span));
      add_scores<T>(scores, top, bottom, [&](int i) {
        return load_chunk(key(begin + i) + span * kSpan<T> + lane_quad() * kChunk<T>);
      });
    }
  }
};

/// Rows of 16-byte chunks in shared memory. Lanes read four neighbouring chunks of two neighbouring
/// rows at a time; in an odd row the halves of each 128 bytes have changed places, so that these
/// eight lie in different banks.
template <int kRows, int kRowChunks>
struct SharedTile {
  static_assert(kRowChunks % 8 == 0);
  static constexpr int kChunks = kRows * kRowChunks;
  Chunk* data;

  VITRINE_DEVICE Chunk& at(int row, int chunk) const {
    return data[row * kRowChunks + (chunk ^ ((row & 1) << 2))];
  }
  /// This lane's chunk of a span of row own + further. `further` is even, so that an address is
  /// known but for a constant.
  VITRINE_DEVICE Chunk along(int own, int further, int span) const {
    const Chunk* first = &at(own, lane_quad() + span % 2 * 4);
    return first[further * kRowChunks + span / 2 * 8];
  }

  /// Begins the copy of the first `rows` rows' first `chunks` chunks by all kThreads threads of the
  /// block; the others become zeros.
  template <int kThreads, class T>
  VITRINE_DEVICE void fill(const T* from, int stride, int rows, int chunks) const {
    static_assert(kWarp % kRowChunks == 0);  // so a thread's chunk is the same in all of its rows
    constexpr int kStep = kThreads / kRowChunks;
    const int chunk = static_cast<int>(threadIdx.x) % kRowChunks,
              first = static_cast<int>(threadIdx.x) / kRowChunks;
    const int end = chunk < chunks ? rows - first : 0;  // before it, rows are copied
    const int64_t jump = static_cast<int64_t>(kStep) * stride;
    from += static_cast<int64_t>(first) * stride + chunk * kChunk<T>;
#pragma unroll 8
    for (int row = 0; row < kRows; row += kStep, from += jump)
      copy_async(&at(first + row, chunk), from, row < end ? static_cast<int>(sizeof(Chunk)) : 0);
  }
};

/// A tile of keys and values in shared memory, for heads of at most kWidth channels.
template <class T, int kWidth>
struct SharedKeysAndValues {
  using Keys = SharedTile<kKeyTile, kWidth / kChunk<T>>;
  using Values = SharedTile<kWidth, kKeyTile / kChunk<T>>;
  static constexpr int kSpans = kWidth / kSpan<T>;
  static constexpr int kBlocks = kWidth / 8;
  static constexpr size_t kBytes = (Keys::kChunks + Values::kChunks) * sizeof(Chunk);

  Keys keys;
  Values values;

  VITRINE_DEVICE explicit SharedKeysAndValues(int buffer) {
    keys.data = shared_memory<Chunk>() + buffer * (Keys::kChunks + Values::kChunks);
    values.data = keys.data + Keys::kChunks;
  }
  /// Of the tile that begins at `begin`, what lies before position `end`.
  template <int kThreads>
  VITRINE_DEVICE void fill_keys(const HeadView<T>& head, int begin, int end) const {
    keys.template fill<kThreads>(head.key(begin), head.key_stride, end - begin,
                                 head.key_stride / kChunk<T>);
  }
  template <int kThreads>
  VITRINE_DEVICE void fill_values(const HeadView<T>& head, int begin, int end) const {
    values.template fill<kThreads>(head.values + begin, head.value_stride, head.width(),
                                   (end - begin + kChunk<T> - 1) / kChunk<T>);
  }

  /// query(half, span): this lane's chunk. A key is read once for all of the warp's queries.
  template <int kHalves, class Query, class Rows>
  VITRINE_DEVICE Weights<T, kHalves> weights(const Query& query, float scale, const Rows& rows,
                                             int begin) const {
    Scores<kHalves> scores = {};
#pragma unroll
    for (int span = 0; span < kSpans; ++span) {
      Operand<T> queries[2 * kPairs<kHalves>] = {};
#pragma unroll
      for (int half = 0; half < kHalves; ++half) queries[half] = operand<T>(query(half, span));
#pragma unroll
      for (int block = 0; block < kKeyBlocks; ++block) {
        const Operand<T> key =
            operand<T>(keys.along(key_of<T>(0, lane_row()), key_of<T>(block, 0), span));
#pragma unroll
        for (int pair = 0; pair < kPairs<kHalves>; ++pair)
          mma_span<T>(scores[pair][block], queries[2 * pair], queries[2 * pair + 1], key);
      }
    }
    return weigh<T, kHalves>(scores, scale, rows, begin);
  }
  /// This lane's chunk of a block of 8 channels and a span of positions.
  VITRINE_DEVICE Chunk value(int block, int span) const {
    return values.along(lane_row(), 8 * block, span);
  }
};

/// f(T{}, width) with the smallest width that kernels are compiled for and `head_width` fits in, as
/// an integral constant.
template <class F>
void with_element_and_width(DType dtype, int head_width, const F& f) {
  with_element(dtype, [&](auto element) {
    if (head_width <= 64)
      f(element, std::integral_constant<int, 64>{});
    else
      f(element, std::integral_constant<int, kWidestHead>{});
  });
}

}  // namespace vitrine::internal::cuda
