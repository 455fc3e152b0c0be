// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/linear/linear.cuh"

// Products of many rows, for x W and for its gradient. A block computes a tile of the output;
// stages of 128 bytes along K (two spans) of its rows of x and of the weights pass through a ring
// in shared memory, filled by asynchronous copies three stages ahead. A warp holds its sums of the
// part at hand and the totals of the parts before in registers (see linear.h for the order). At the
// end the totals go through the same memory, so that the output is written along its rows.
//
// In a stage, row r of x is 8 chunks of 16 bytes, chunk c at place c ^ (2 (r % 4)): the 16 lanes
// that read together, which are in 4 rows of 2 chunks, then meet all banks once.

namespace vitrine::internal::cuda {

inline constexpr int kStages = 4;
inline constexpr int kStageSpans = 2, kStageChunks = 8;
inline constexpr int kStageRow = kStageChunks * sizeof(Chunk);
static_assert(kSpansOfPart % kStageSpans == 0);
inline constexpr int kStepsOfPart = kSpansOfPart / kStageSpans;

/// How a block's warps share its tile: each has kRowTiles x kColumnTiles of the tensor cores' 16
/// x 8.
template <int kRowWarps, int kColumnWarps, int kRowTiles, int kColumnTiles>
struct Tiling {
  static constexpr int row_tiles = kRowTiles, column_tiles = kColumnTiles,
                       column_warps = kColumnWarps;
  static constexpr int rows = kRowWarps * kRowTiles * 16, columns = kColumnWarps * kColumnTiles * 8;
  static constexpr int threads = kRowWarps * kColumnWarps * kWarp;
  static constexpr int stage_bytes = (rows + columns) * kStageRow;
  static constexpr int out_stride = columns + 8;  ///< of the totals in shared memory, in floats
  static constexpr size_t shared_bytes = kStages * stage_bytes;
  static_assert(rows * out_stride * sizeof(float) <= shared_bytes);
};
using LargeTiles = Tiling<2, 4, 4, 4>;  ///< 128 x 128, a block a processor; see large_tiles_pay()
using SmallTiles = Tiling<2, 2, 2, 4>;  ///< 64 x 64, where the large ones would be too few
using FlatTiles = Tiling<1, 4, 1, 2>;   ///< 16 x 64, where there are no more rows

/// Where a chunk lies in a stage. Rows a multiple of 4 apart keep it at the same place, kStageRow
/// times that number on.
VITRINE_DEVICE int chunk_offset(int row, int chunk) {
  return row * kStageRow + (chunk ^ (row & 3) << 1) * static_cast<int>(sizeof(Chunk));
}

/// This lane's share, by halves, of a span of the rows of a stage.
struct StagedShares {
  const std::byte* half[2];

  VITRINE_DEVICE StagedShares(const std::byte* stage, int row, int span) {
    const int quad = lane_id() % 4;
#pragma unroll
    for (int h = 0; h < 2; ++h)
      half[h] = stage + chunk_offset(row, 4 * span + 2 * h + quad / 2) +
                quad % 2 * static_cast<int>(sizeof(HalfChunk));
  }
  /// Of the row a multiple of 4 further on.
  VITRINE_DEVICE Chunk at(int rows) const {
    return joined(load_half(half[0] + rows * kStageRow), load_half(half[1] + rows * kStageRow));
  }
};

template <class Tiles>
VITRINE_DEVICE std::byte* stage_of(std::byte* ring, int step) {
  return ring + step % kStages * Tiles::stage_bytes;
}

/// The rows of x of a block's stages. A thread copies the same chunk of every kStep-th row.
template <class T, class Tiles, bool kWhole>
struct StagedRows {
  const LinearOperands& operands;
  std::byte* ring;
  int row;  ///< the block's first

  static constexpr int kStep = Tiles::threads / kStageChunks;
  static_assert(kStep % 4 == 0);
  static VITRINE_DEVICE int chunk() { return static_cast<int>(threadIdx.x) % kStageChunks; }
  static VITRINE_DEVICE int line() { return static_cast<int>(threadIdx.x) / kStageChunks; }

  VITRINE_DEVICE void load(int step) const {
    const int k = (step * kStageChunks + chunk()) * kChunk<T>;
    std::byte* to = stage_of<Tiles>(ring, step) + chunk_offset(line(), chunk());
#pragma unroll
    for (int n = 0; n < Tiles::rows; n += kStep) {
      const int r = row + n + line();
      const bool valid = r < operands.rows && k < operands.in;
      if constexpr (kWhole)
        copy_async(to + n * kStageRow,
                   operands.x + r * operands.x_stride + int64_t{k} * static_cast<int>(sizeof(T)),
                   valid ? bytes_of<T>(operands.in - k) : 0);
      else
        *reinterpret_cast<Chunk*>(to + n * kStageRow) =
            valid ? load_bounded<T>(operands.x + r * operands.x_stride, k, operands.in) : Chunk{};
    }
  }
};

/// A warp's sums: of the part at hand, and of all before it.
template <class Tiles>
struct Sums {
  float part[Tiles::row_tiles][Tiles::column_tiles][4];
  float total[Tiles::row_tiles][Tiles::column_tiles][4];

  template <class F>
  VITRINE_DEVICE void each(const F& f) {
#pragma unroll
    for (int i = 0; i < Tiles::row_tiles; ++i) {
#pragma unroll
      for (int j = 0; j < Tiles::column_tiles; ++j) {
#pragma unroll
        for (int n = 0; n < 4; ++n) f(part[i][j][n], total[i][j][n]);
      }
    }
  }
};

/// sums.part += a span of a stage. `right(j)` is this lane's share of the warp's j-th eight columns
/// of the weights.
template <class T, class Tiles, class Right>
VITRINE_DEVICE void multiply_span(const std::byte* stage, int span, Sums<Tiles>& sums,
                                  const Right& right) {
  const int row = warp_id() / Tiles::column_warps * Tiles::row_tiles * 16 + lane_id() / 4;
  const StagedShares x(stage, row, span);
  Operand<T> columns[Tiles::column_tiles];
#pragma unroll
  for (int j = 0; j < Tiles::column_tiles; ++j) columns[j] = operand<T>(right(j));
#pragma unroll
  for (int i = 0; i < Tiles::row_tiles; ++i) {
    const Operand<T> top = operand<T>(x.at(16 * i)), bottom = operand<T>(x.at(16 * i + 8));
#pragma unroll
    for (int j = 0; j < Tiles::column_tiles; ++j)
      mma_span<T>(sums.part[i][j], top, bottom, columns[j]);
  }
}

/// The totals over the steps [begin, end) of K; `begin` is that of a part. Rows are StagedRows,
/// weights as they: load(step) and share(stage, span, j).
template <class T, class Tiles, class StagedX, class Weights>
VITRINE_DEVICE void sum_up(const LinearOperands& operands, const StagedX& x, const Weights& weights,
                           int begin, int end, Sums<Tiles>& sums) {
  constexpr int kAhead = kStages - 1;
  for (int step = begin; step < begin + kAhead && step < end; ++step) weights.load(step);
  wait_for_previous_kernel();
  let_next_kernel_start();
  for (int step = begin; step < begin + kAhead; ++step) {
    if (step < end) x.load(step);
    copy_async_commit();
  }
  sums.each([](float& part, float& total) { part = total = 0.0f; });
  const int spans = static_cast<int>(ceil_div(operands.in, kSpan<T>));
  for (int step = begin; step < end; ++step) {
    copy_async_wait<kAhead - 1>();
    __syncthreads();  // this stage is there, and everyone is done with the one before, which is
                      // refilled
    if (step + kAhead < end) {
      weights.load(step + kAhead);
      x.load(step + kAhead);
    }
    copy_async_commit();
    std::byte* stage = stage_of<Tiles>(x.ring, step);
#pragma unroll
    for (int span = 0; span < kStageSpans; ++span) {
      if (step * kStageSpans + span < spans)
        multiply_span<T, Tiles>(stage, span, sums,
                                [&](int j) { return weights.share(stage, span, j); });
    }
    if (step + 1 == end || (step + 1) % kStepsOfPart == 0) {
      sums.each([](float& part, float& total) {
        total += part;
        part = 0.0f;
      });
    }
  }
  __syncthreads();
}

/// Lays the totals out in shared memory, [rows][out_stride].
template <class Tiles>
VITRINE_DEVICE void store_totals(const Sums<Tiles>& sums, float* to) {
  const int row = warp_id() / Tiles::column_warps * Tiles::row_tiles * 16 + lane_id() / 4;
  const int column =
      warp_id() % Tiles::column_warps * Tiles::column_tiles * 8 + 2 * (lane_id() % 4);
#pragma unroll
  for (int i = 0; i < Tiles::row_tiles; ++i) {
#pragma unroll
    for (int j = 0; j < Tiles::column_tiles; ++j) {
#pragma unroll
      for (int n = 0; n < 4; ++n)
        to[(row + 16 * i + n / 2 * 8) * Tiles::out_stride + column + 8 * j + n % 2] =
            sums.total[i][j][n];
    }
  }
}

template <class T>
VITRINE_DEVICE int steps_of(const LinearOperands& operands) {
  return static_cast<int>(ceil_div(operands.in, kStageSpans * kSpan<T>));
}

template <class Tiles>
int64_t tiles_of(const LinearOperands& operands) {
  return ceil_div(operands.rows, Tiles::rows) * ceil_div(operands.out, Tiles::columns);
}

/// Whether the device has the shared memory for large tiles (GPUs of capability 8.6, 8.9 and 12.0
/// have 99 KB a block), and such tiles are neither half empty nor fewer than its processors.
inline bool large_tiles_pay(const Device& device, const LinearOperands& operands) {
  return LargeTiles::shared_bytes <= device.shared_per_block() &&
         operands.rows > SmallTiles::rows && tiles_of<LargeTiles>(operands) >= device.processors();
}

}  // namespace vitrine::internal::cuda
