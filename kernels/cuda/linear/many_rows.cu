// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/linear/finish.cuh"
#include "kernels/cuda/linear/tiles.cuh"
#include "kernels/cuda/runtime/launch.h"

// x W for many rows: linear/tiles.cuh, with the weights' rows staged like those of x, after them.

namespace vitrine::internal::cuda {
namespace {

/// The outputs of a block's stages, rows of the weights.
template <class T, class Tiles, bool kWhole>
struct StagedWeights {
  using X = StagedRows<T, Tiles, kWhole>;
  const LinearOperands& operands;
  std::byte* ring;
  int column;  ///< the block's first

  VITRINE_DEVICE void load(int step) const {
    const int k = (step * kStageChunks + X::chunk()) * kChunk<T>;
    std::byte* to = stage_of<Tiles>(ring, step) + chunk_offset(Tiles::rows + X::line(), X::chunk());
#pragma unroll
    for (int n = 0; n < Tiles::columns; n += X::kStep) {
      const int o = column + n + X::line();
      const bool valid = o < operands.out && k < operands.in;
      const std::byte* from = operands.weight + o * operands.weight_stride;
      if constexpr (kWhole)
        copy_async(to + n * kStageRow, from + int64_t{k} * static_cast<int>(sizeof(T)),
                   valid ? static_cast<int>(sizeof(Chunk)) : 0);
      else
        *reinterpret_cast<Chunk*>(to + n * kStageRow) =
            valid ? load_bounded<T>(from, k, operands.in) : Chunk{};
    }
  }
  VITRINE_DEVICE Chunk share(const std::byte* stage, int span, int j) const {
    const int output = warp_id() % Tiles::column_warps * Tiles::column_tiles * 8 + lane_id() / 4;
    return StagedShares(stage, Tiles::rows + output, span).at(8 * j);
  }
};

// `part_stride`: 0, and each block takes all of the sums; or a block takes one part, whose sums it
// stores as they are, `part_stride` floats after those of the part before.
// Limit occupancy to one block per SM; more would make the compiler spill registers. Shared memory
// has room for three.
template <class T, class Tiles, bool kWhole>
__global__ void __launch_bounds__(Tiles::threads, 1)
    many_rows_kernel(LinearOperands operands, Epilogue epilogue, int64_t part_stride) {
  const int row = static_cast<int>(blockIdx.x) * Tiles::rows,
            column = static_cast<int>(blockIdx.y) * Tiles::columns;
  const int steps = steps_of<T>(operands), part = static_cast<int>(blockIdx.z);
  const bool split = part_stride != 0;
  const int begin = split ? part * kStepsOfPart : 0,
            end = split && begin + kStepsOfPart < steps ? begin + kStepsOfPart : steps;
  if (split) epilogue.out = static_cast<float*>(epilogue.out) + part * part_stride;
  Sums<Tiles> sums;
  sum_up<T, Tiles>(operands, StagedRows<T, Tiles, kWhole>{operands, shared_memory<>(), row},
                   StagedWeights<T, Tiles, kWhole>{operands, shared_memory<>(), column}, begin, end,
                   sums);
  store_totals<Tiles>(sums, shared_memory<float>());
  __syncthreads();
  const int left = operands.rows - row;
  finish_region<T, Tiles::columns, Tiles::out_stride, Tiles::threads>(
      epilogue, {row, column, left < Tiles::rows ? left : Tiles::rows, operands.out - column},
      shared_memory<float>(), static_cast<int>(threadIdx.x));
}

template <class T, class Tiles>
void launch_tiles(Device& device, const LinearOperands& operands, const Epilogue& epilogue,
                  int parts = 1, int64_t part_stride = 0) {
  // Blocks that run together share their weights: those are read from memory once, x comes again
  // and again from the cache.
  const LaunchShape shape{.grid = dim3(ceil_div(operands.rows, Tiles::rows),
                                       ceil_div(operands.out, Tiles::columns), parts),
                          .block = dim3(Tiles::threads),
                          .shared = Tiles::shared_bytes,
                          .may_start_early = true};
  if (operands.chunks_are_whole(sizeof(T)))
    launch(device, shape, many_rows_kernel<T, Tiles, true>, operands, epilogue, part_stride);
  else
    launch(device, shape, many_rows_kernel<T, Tiles, false>, operands, epilogue, part_stride);
}

}  // namespace

bool tiles_leave_gaps(const Device& device, const LinearOperands& operands) {
  return tiles_of<SmallTiles>(operands) < device.processors();
}

void linear_many_rows(Device& device, DType dtype, const LinearOperands& operands,
                      const Epilogue& epilogue) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    if (large_tiles_pay(device, operands))
      launch_tiles<T, LargeTiles>(device, operands, epilogue);
    else
      launch_tiles<T, SmallTiles>(device, operands, epilogue);
  });
}

int parts_of(DType dtype, int64_t in) {
  int64_t parts = 0;
  with_element(dtype, [&](auto element) { parts = ceil_div(in, kPart<decltype(element)>); });
  return static_cast<int>(parts);
}

void linear_by_parts(Device& device, DType dtype, const LinearOperands& operands,
                     const Epilogue& epilogue, const PartialSums& sums) {
  Epilogue alone;
  alone.out = sums.data;
  alone.out_stride = sums.stride;
  alone.fours_are_aligned = true;
  with_element(dtype, [&](auto element) {
    launch_tiles<decltype(element), SmallTiles>(device, operands, alone, sums.parts,
                                                sums.part_stride);
  });
  apply_epilogue(device, dtype, sums, operands.rows, operands.out, epilogue);
}

}  // namespace vitrine::internal::cuda
