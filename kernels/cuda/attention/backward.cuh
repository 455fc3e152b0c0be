// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/attention/kernels.cuh"

// The gradient of attention, of sequences without a past. With P = exp(scale q.k - lse), which the
// forward pass's log-sum-exp gives without a second pass over the keys, and delta = dz . z, which
// is sum_j P dP:
//
//   dP = dz.v,   dS = P (dP - delta),   dq = scale dS k,   dk = scale dS^T q,   dv = P^T dz
//
// Two kernels. In both, a warp has 16 rows of its own and walks over tiles of the others in shared
// memory: queries over keys for dq, keys over queries for dk and dv. What a tile gives is summed
// from zero and then added, tile after tile in ascending order, so that a result has the same bits
// in any batch. Others are the right operand of all products: along their channels for scores and
// dP, crosswise for the sums (device/mma.cuh). P and dS are rounded to T before they are
// multiplied.
//
// A pair that the mask forbids takes no part: its P and dS are 0, and where 0 times what belongs to
// it might not be 0, each row is multiplied on its own with what it does not see left away.

namespace vitrine::internal::cuda {

/// Compile-time shape of a kernel: maximum channels per head, and spans per tile of the other
/// operand.
template <class Element, int kMostChannels, int kTileSpans>
struct GradientShape {
  using T = Element;
  static constexpr int kWidth = kMostChannels, kChannelSpans = kWidth / kSpan<T>,
                       kChannelBlocks = kWidth / 8;
  static constexpr int kSpans = kTileSpans, kOthers = kSpans * kSpan<T>, kBlocks = kOthers / 8;
  static constexpr int kLaneOthers = kOthers / 4;  ///< that a lane holds of each row
};
// Where registers are short, tiles are.
template <class T, int kWidth>
using QueriesShape = GradientShape<T, kWidth, kWidth == 64 ? 2 : 1>;
template <class T, int kWidth>
using KeysShape = GradientShape<T, kWidth, 1>;
inline constexpr int kGradientWarps = 4, kGradientThreads = kGradientWarps * kWarp,
                     kGradientRows = 16 * kGradientWarps;

/// What the kernels read beside the arguments.
struct GradientInputs {
  const float* delta = nullptr;  ///< [rows, H]: dz . z
  bool chunks_are_aligned =
      false;  ///< each chunk of a head's channels begins at a multiple of 16 bytes
};

/// One head of one sequence. Rows are counted from the sequence's first.
template <class T>
struct GradientHead {
  const AttentionBackwardArgs& args;
  const GradientInputs& inputs;
  int head, first_row, rows;

  VITRINE_DEVICE GradientHead(const AttentionBackwardArgs& arguments, const GradientInputs& given,
                              const SequenceSlice& slice, int which)
      : args(arguments),
        inputs(given),
        head(which),
        first_row(static_cast<int>(slice.row)),
        rows(static_cast<int>(slice.rows)) {}

  VITRINE_DEVICE int width() const { return args.head_width; }
  VITRINE_DEVICE T* row(const Mat& mat, int own) const {
    return reinterpret_cast<T*>(mat.data) + static_cast<int64_t>(first_row + own) * mat.stride +
           head * width();
  }
  VITRINE_DEVICE float lse(int own) const {
    return reinterpret_cast<const float*>(
        args.lse.data)[static_cast<int64_t>(first_row + own) * args.lse.stride + head];
  }
  VITRINE_DEVICE float delta(int own) const {
    return inputs.delta[static_cast<int64_t>(first_row + own) * args.heads + head];
  }
  /// This lane's 16 bytes of a span of a row; zeros outside the rows or channels.
  VITRINE_DEVICE Chunk chunk(const Mat& mat, int own, int span) const {
    return own < rows
               ? load_channels(row(mat, own), span * kSpan<T> + lane_quad() * kChunk<T>, width())
               : Chunk{};
  }
};

/// Rows of one matrix in shared memory.
template <class Shape>
struct OthersTile {
  using T = typename Shape::T;
  static constexpr int kRowChunks = Shape::kWidth / kChunk<T>,
                       kChunks = Shape::kOthers * kRowChunks;
  static_assert(kRowChunks % 8 == 0);
  Chunk* data;

  VITRINE_DEVICE Chunk& at(int row, int chunk) const {
    return data[row * kRowChunks + chunk_place<T>(row, chunk)];
  }

  /// Begins the copy of the rows from `begin` on by all threads of the block; zeros where there is
  /// no such row or channel.
  VITRINE_DEVICE void fill(const GradientHead<T>& head, const Mat& mat, int begin) const {
    static_assert(kGradientThreads % kRowChunks == 0);  // a thread's chunk is the same in all rows
    constexpr int kStep = kGradientThreads / kRowChunks;
    const int chunk = static_cast<int>(threadIdx.x) % kRowChunks, channel = chunk * kChunk<T>,
              first = static_cast<int>(threadIdx.x) / kRowChunks;
    const int count = head.width() - channel,
              end = count > 0 ? head.rows - begin - first : 0;  // before it, rows are copied
    const T* from = head.row(mat, begin + first) + channel;
    const int64_t jump = kStep * mat.stride;
    if (head.inputs.chunks_are_aligned) {
#pragma unroll
      for (int row = 0; row < Shape::kOthers; row += kStep, from += jump)
        copy_async(&at(first + row, chunk), from, row < end ? bytes_of<T>(count) : 0);
    } else {
#pragma unroll 1
      for (int row = 0; row < Shape::kOthers; row += kStep, from += jump)
        at(first + row, chunk) = row < end ? load_part(from, count) : Chunk{};
    }
  }
  /// This lane's chunk of a span of the channels of row key_of(block, l / 4). Its place in the row
  /// is the same for all blocks, so that an address is known but for a constant.
  VITRINE_DEVICE Chunk along(int row, int span) const {
    const int own = key_of<T>(0, lane_row());
    const Chunk* first = &at(own, lane_quad() + span % 2 * 4);
    return first[(row - own) * kRowChunks + span / 2 * 8];
  }
  /// This lane's chunk of a block of 8 channels and a span of rows.
  VITRINE_DEVICE Chunk crosswise(int block, int span) const {
    return crosswise_chunk<T>(data + span * kSpan<T> * kRowChunks, kRowChunks,
                              block * (8 / kChunk<T>));
  }
};

/// The shared memory of a block: a tile of two matrices, twice; each lane's own chunks of two
/// matrices; two numbers of each other.
template <class Shape>
struct GradientMemory {
  using T = typename Shape::T;
  using Tile = OthersTile<Shape>;
  static constexpr int kSpans = Shape::kChannelSpans, kOthers = Shape::kOthers;
  static constexpr int kOwnAt = 4 * Tile::kChunks,
                       kNumbersAt = kOwnAt + 4 * kSpans * kGradientThreads;
  static constexpr size_t kBytes = kNumbersAt * sizeof(Chunk) + 4 * kOthers * sizeof(float);

  VITRINE_DEVICE Tile tile(int begin, int matrix) const {
    return {shared_memory<Chunk>() + (begin / kOthers % 2 * 2 + matrix) * Tile::kChunks};
  }
  VITRINE_DEVICE Chunk& own(int matrix, int half, int span) const {
    return shared_memory<Chunk>()[kOwnAt +
                                  ((matrix * 2 + half) * kSpans + span) * kGradientThreads +
                                  static_cast<int>(threadIdx.x)];
  }
  VITRINE_DEVICE float* numbers(int begin, int which) const {
    return reinterpret_cast<float*>(shared_memory<Chunk>() + kNumbersAt) +
           (begin / kOthers % 2 * 2 + which) * kOthers;
  }

  VITRINE_DEVICE void keep_own(const GradientHead<T>& head, const Mat& first, const Mat& second,
                               int own_row) const {
#pragma unroll
    for (int i = 0; i < 2 * kSpans; ++i) {
      const int row = own_row + lane_row() + i % 2 * 8;
      own(0, i % 2, i / 2) = head.chunk(first, row, i / 2);
      own(1, i % 2, i / 2) = head.chunk(second, row, i / 2);
    }
  }
  VITRINE_DEVICE void fill(const GradientHead<T>& head, const Mat& first, const Mat& second,
                           int begin) const {
    tile(begin, 0).fill(head, first, begin);
    tile(begin, 1).fill(head, second, begin);
    copy_async_commit();
  }
  /// Dot products of own rows and others, of the matrices numbered so.
  VITRINE_DEVICE void dot(float (&products)[Shape::kBlocks][4], int matrix, int begin) const {
    const Tile others = tile(begin, matrix);
    [[maybe_unused]] constexpr int kUnrolled =
        sizeof(T) == 2 ? kSpans : 2;  // else sums change registers
#pragma unroll kUnrolled
    for (int span = 0; span < kSpans; ++span) {
      add_scores<T>(products, operand<T>(own(matrix, 0, span)), operand<T>(own(matrix, 1, span)),
                    [&](int other) { return others.along(other, span); });
    }
  }
};

/// A power of two that brings numbers of this size near F16's largest.
VITRINE_DEVICE float lift_of(float largest) {
  const uint32_t exponent = std::bit_cast<uint32_t>(largest) >> 23;
  if (exponent == 0 || exponent == 255) return 1.0f;
  return std::bit_cast<float>((exponent < 15 ? 253u : 268u - exponent) << 23);
}

/// Numbers of 16 own rows and a tile of others, ready to be multiplied. F16 has no digits for what
/// is small among them, as most of a gradient's are: there each row is multiplied by a power of two
/// first, and its products are divided by it.
template <class Shape>
struct GradientWeights {
  using T = typename Shape::T;
  static constexpr bool kLifted = std::is_same_v<T, F16>;
  Operand<T> half[2][Shape::kSpans];  ///< rows l / 4 and 8 more; by span
  float lowering[2];

  /// weight(half, place among the lane's others) is called for all; other_of() says which other
  /// that is.
  template <class Weight>
  VITRINE_DEVICE explicit GradientWeights(const Weight& weight) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float x[Shape::kLaneOthers];
#pragma unroll
      for (int i = 0; i < Shape::kLaneOthers; ++i) x[i] = weight(h, i);
      if constexpr (kLifted) lowering[h] = lift(x);
#pragma unroll
      for (int span = 0; span < Shape::kSpans; ++span)
        half[h][span] = operand<T>(pack<T>(x + span * kChunk<T>));
    }
  }
  VITRINE_DEVICE float lowered(float sum, int h) const {
    if constexpr (kLifted)
      return sum * lowering[h];
    else
      return sum;
  }

 private:
  /// Four neighbouring lanes have a row; returns what undoes it.
  static VITRINE_DEVICE float lift(float (&x)[Shape::kLaneOthers]) {
    float largest = 0.0f;
#pragma unroll
    for (const float number : x) largest = fmaxf(largest, fabsf(number));
    largest = fmaxf(largest, shuffle_xor(largest, 1));
    largest = fmaxf(largest, shuffle_xor(largest, 2));
    const float factor = lift_of(largest);
#pragma unroll
    for (float& number : x) number *= factor;
    return std::bit_cast<float>((254u << 23) - std::bit_cast<uint32_t>(factor));  // 1 / factor
  }
};
template <class T>
VITRINE_DEVICE int other_of(int place) {
  return lane_key<T>(place / kChunk<T>) + place % kChunk<T>;
}

/// sums += weights x others, for the rows that take part; right(block, span) is this lane's chunk
/// of 8 channels.
template <class Shape, class Right>
VITRINE_DEVICE void add_products(float (&sums)[Shape::kChannelBlocks][4],
                                 const GradientWeights<Shape>& weights, const bool (&takes_part)[2],
                                 const Right& right) {
  using T = typename Shape::T;
#pragma unroll
  for (int block = 0; block < Shape::kChannelBlocks; ++block) {
    float c[4] = {};
#pragma unroll
    for (int span = 0; span < Shape::kSpans; ++span)
      mma_span<T>(c, weights.half[0][span], weights.half[1][span], operand<T>(right(block, span)));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (takes_part[i / 2]) sums[block][i] += weights.lowered(c[i], i / 2);
    }
  }
}

/// The same in a tile that not all rows see all of. seen_by(first, last, span, chunk) leaves away
/// what none of these of the 16 rows sees.
template <class Shape, class Right, class SeenBy>
VITRINE_DEVICE void add_masked_products(float (&sums)[Shape::kChannelBlocks][4],
                                        const GradientWeights<Shape>& weights, const Right& right,
                                        const SeenBy& seen_by) {
  Sizes<typename Shape::T> sizes;
#pragma unroll 4
  for (int i = 0; i < Shape::kSpans * Shape::kChannelBlocks; ++i) {
    const int span = i % Shape::kSpans;
    sizes.add(seen_by(0, 15, span, right(i / Shape::kSpans, span)));
  }
  const bool together = ballot(!sizes.harmless()) == 0;
#pragma unroll 1
  for (int row = together ? 15 : 0; row < 16; ++row) {
    __syncwarp();  // no lane waits for another: it keeps the compiler from holding all others in
                   // registers
    const bool takes_part[2] = {together || lane_row() == row, together || lane_row() + 8 == row};
    const int first = together ? 0 : row;
    add_products<Shape>(sums, weights, takes_part, [&](int block, int span) {
      return seen_by(first, row, span, right(block, span));
    });
  }
}

/// Writes factor * sums of the rows from `own_row` on.
template <class T, int kBlocks>
VITRINE_DEVICE void store_gradient(const float (&sums)[kBlocks][4], float factor,
                                   const GradientHead<T>& head, const Mat& to, int own_row) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = own_row + lane_row() + 8 * half;
    if (row >= head.rows) continue;
    store_pairs<T, kBlocks>(head.row(to, row), head.width(), lane_channel, [&](int block) {
      const float* sum = sums[block] + 2 * half;
      return Pair<T>{narrow<T>(sum[0] * factor), narrow<T>(sum[1] * factor)};
    });
  }
}

/// dq, of heads of at most kWidestHead channels; zeros where the pattern is frozen.
void differentiate_queries(Device& device, const AttentionBackwardArgs& args,
                           const GradientInputs& inputs);
/// dk and dv, of the same heads.
void differentiate_keys(Device& device, const AttentionBackwardArgs& args,
                        const GradientInputs& inputs);
/// Writes the requested maps, of any heads: args.dpattern, args.dscores, and `pattern`, which is
/// args.pattern recomputed. The latter two read lse and, for dscores, delta. `batch` says where
/// maps lie.
void write_gradient_maps(Device& device, const AttentionBackwardArgs& args,
                         const GradientInputs& inputs, float* pattern, const BatchView& batch);
/// args.dscores from args.pattern and args.dpattern.
void differentiate_softmax_of_maps(Device& device, const AttentionBackwardArgs& args,
                                   const BatchView& batch);
/// dq, dk and dv from args.pattern and args.dscores.
void differentiate_by_maps(Device& device, const AttentionBackwardArgs& args,
                           const BatchView& batch);

/// A block for each head of each sequence and each `rows` of the longest sequence.
inline dim3 gradient_grid(const AttentionBackwardArgs& args, int rows) {
  int64_t longest = 0;
  for (const SequenceSlice& slice : args.batch->sequences) longest = std::max(longest, slice.rows);
  return dim3(args.batch->sequences.size() * static_cast<size_t>(args.heads),
              ceil_div(longest, rows));
}

}  // namespace vitrine::internal::cuda
