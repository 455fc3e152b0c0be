#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.h"

// x W for many rows. A block computes a tile of the output; stages of 128 bytes along K (two spans) of its rows of x and of the
// weights pass through a ring in shared memory, filled by asynchronous copies three stages ahead. A warp holds its sums of the
// part at hand and the totals of the parts before in registers (see linear.h for the order).
//
// In a stage, row r is 8 chunks of 16 bytes, chunk c at place c ^ (4 (r % 2)): the 8 lanes that read together, which are 2 rows
// of 4 chunks, then meet all banks once. At the end the totals go through the same memory, so that the output is written along
// its rows.

namespace vitrine::cuda {
namespace {

constexpr int kStages = 4;
constexpr int kStageSpans = 2, kStageChunks = 8;
constexpr int kStageRow = kStageChunks * sizeof(Chunk);
static_assert(kSpansOfPart % kStageSpans == 0);

/// How a block's warps share its tile: each has kRowTiles x kColumnTiles of the tensor cores' 16 x 8.
template <int kRowWarps, int kColumnWarps, int kRowTiles, int kColumnTiles>
struct Tiling {
  static constexpr int row_tiles = kRowTiles, column_tiles = kColumnTiles, column_warps = kColumnWarps;
  static constexpr int rows = kRowWarps * kRowTiles * 16, columns = kColumnWarps * kColumnTiles * 8;
  static constexpr int threads = kRowWarps * kColumnWarps * kWarp;
  static constexpr int stage_bytes = (rows + columns) * kStageRow;
  static constexpr int out_stride = columns + 8;  ///< of the totals in shared memory, in floats
  static constexpr size_t shared_bytes = kStages * stage_bytes;
  static_assert(rows * out_stride * sizeof(float) <= shared_bytes);
};
using LargeTiles = Tiling<2, 4, 4, 4>;  ///< 128 x 128, a block a processor
using SmallTiles = Tiling<2, 2, 2, 4>;  ///< 64 x 64, where the large ones would be too few

/// Where a chunk lies in a stage. Rows an even number apart keep it at the same place, kStageRow times that number on.
VITRINE_DEVICE int chunk_offset(int row, int chunk) {
  return row * kStageRow + (chunk ^ (row % 2 * 4)) * static_cast<int>(sizeof(Chunk));
}

/// A block's place in the output, and the filling of its stages: rows of x, then rows of the weights. A thread copies the same
/// chunk of every kStep-th row.
template <class T, class Tiles, bool kWhole>
struct Stager {
  const LinearOperands& operands;
  std::byte* ring;
  int row, column;

  static constexpr int kStep = Tiles::threads / kStageChunks;
  static_assert(kStep % 2 == 0);
  static VITRINE_DEVICE int chunk() { return static_cast<int>(threadIdx.x) % kStageChunks; }
  static VITRINE_DEVICE int line() { return static_cast<int>(threadIdx.x) / kStageChunks; }

  static VITRINE_DEVICE int64_t bytes_of(int k) { return int64_t{k} * static_cast<int>(sizeof(T)); }
  VITRINE_DEVICE std::byte* stage(int step) const { return ring + step % kStages * Tiles::stage_bytes; }

  VITRINE_DEVICE void load_x(int step) const {
    const int k = (step * kStageChunks + chunk()) * kChunk<T>;
    std::byte* to = stage(step) + chunk_offset(line(), chunk());
#pragma unroll
    for (int n = 0; n < Tiles::rows; n += kStep) {
      const int r = row + n + line();
      const bool valid = r < operands.rows && k < operands.in;
      if constexpr (kWhole)
        copy_async(to + n * kStageRow, operands.x + r * operands.x_stride + bytes_of(k), valid);
      else
        *reinterpret_cast<Chunk*>(to + n * kStageRow) = valid ? load_bounded_x<T>(operands, r, k) : Chunk{};
    }
  }
  VITRINE_DEVICE void load_weights(int step) const {
    const int k = (step * kStageChunks + chunk()) * kChunk<T>;
    std::byte* to = stage(step) + chunk_offset(Tiles::rows + line(), chunk());
#pragma unroll
    for (int n = 0; n < Tiles::columns; n += kStep) {
      const int o = column + n + line();
      const bool valid = o < operands.out && k < operands.in;
      const std::byte* from = operands.weight + o * operands.weight_stride;
      if constexpr (kWhole)
        copy_async(to + n * kStageRow, from + bytes_of(k), valid);
      else
        *reinterpret_cast<Chunk*>(to + n * kStageRow) = valid ? load_bounded<T>(from, k, operands.in) : Chunk{};
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

template <class T, class Tiles>
VITRINE_DEVICE void multiply_span(const std::byte* stage, int span, Sums<Tiles>& sums) {
  const int chunk = 4 * span + lane_id() % 4;
  const int row = warp_id() / Tiles::column_warps * Tiles::row_tiles * 16 + lane_id() / 4;
  const int column = warp_id() % Tiles::column_warps * Tiles::column_tiles * 8 + lane_id() / 4;
  const std::byte *x = stage + chunk_offset(row, chunk), *weights = stage + chunk_offset(Tiles::rows + column, chunk);
  Operand<T> right[Tiles::column_tiles];
#pragma unroll
  for (int j = 0; j < Tiles::column_tiles; ++j) right[j] = operand<T>(load_chunk(weights + 8 * j * kStageRow));
#pragma unroll
  for (int i = 0; i < Tiles::row_tiles; ++i) {
    const Operand<T> top = operand<T>(load_chunk(x + 16 * i * kStageRow));
    const Operand<T> bottom = operand<T>(load_chunk(x + (16 * i + 8) * kStageRow));
#pragma unroll
    for (int j = 0; j < Tiles::column_tiles; ++j) mma_span<T>(sums.part[i][j], top, bottom, right[j]);
  }
}

/// Lays the totals out in shared memory, [rows][out_stride].
template <class Tiles>
VITRINE_DEVICE void store_totals(const Sums<Tiles>& sums, float* to) {
  const int row = warp_id() / Tiles::column_warps * Tiles::row_tiles * 16 + lane_id() / 4;
  const int column = warp_id() % Tiles::column_warps * Tiles::column_tiles * 8 + 2 * (lane_id() % 4);
#pragma unroll
  for (int i = 0; i < Tiles::row_tiles; ++i) {
#pragma unroll
    for (int j = 0; j < Tiles::column_tiles; ++j) {
#pragma unroll
      for (int n = 0; n < 4; ++n)
        to[(row + 16 * i + n / 2 * 8) * Tiles::out_stride + column + 8 * j + n % 2] = sums.total[i][j][n];
    }
  }
}

/// Finishes the tile, a warp two or more rows at a time, four columns a lane.
template <class T, class Tiles>
VITRINE_DEVICE void finish_tile(const LinearOperands& operands, const Epilogue& epilogue, int row, int column,
                                const float* totals) {
  constexpr int kFours = Tiles::columns / 4;
  for (int n = static_cast<int>(threadIdx.x); n < Tiles::rows * kFours; n += Tiles::threads) {
    const int r = n / kFours, c = n % kFours * 4;
    if (row + r < operands.rows && column + c < operands.out) {
      epilogue.apply_four<T>(row + r, column + c, operands.out, totals + r * Tiles::out_stride + c);
    }
  }
}

template <class T, class Tiles, bool kWhole>
__global__ void __launch_bounds__(Tiles::threads) many_rows_kernel(LinearOperands operands, Epilogue epilogue) {
  constexpr int kAhead = kStages - 1, kStepsOfPart = kSpansOfPart / kStageSpans;
  const Stager<T, Tiles, kWhole> stager{operands, shared_memory<>(), static_cast<int>(blockIdx.x) * Tiles::rows,
                                        static_cast<int>(blockIdx.y) * Tiles::columns};
  const int spans = static_cast<int>(ceil_div(operands.in, kSpan<T>)), steps = static_cast<int>(ceil_div(spans, kStageSpans));
  for (int step = 0; step < kAhead && step < steps; ++step) stager.load_weights(step);
  wait_for_previous_kernel();
  let_next_kernel_start();
  for (int step = 0; step < kAhead; ++step) {
    if (step < steps) stager.load_x(step);
    copy_async_commit();
  }
  Sums<Tiles> sums;
  sums.each([](float& part, float& total) { part = total = 0.0f; });
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kAhead - 1>();
    __syncthreads();  // this stage is there, and everyone is done with the one before, which is refilled
    if (step + kAhead < steps) {
      stager.load_weights(step + kAhead);
      stager.load_x(step + kAhead);
    }
    copy_async_commit();
#pragma unroll
    for (int span = 0; span < kStageSpans; ++span) {
      if (step * kStageSpans + span < spans) multiply_span<T, Tiles>(stager.stage(step), span, sums);
    }
    if (step + 1 == steps || (step + 1) % kStepsOfPart == 0) {
      sums.each([](float& part, float& total) {
        total += part;
        part = 0.0f;
      });
    }
  }
  __syncthreads();
  store_totals<Tiles>(sums, shared_memory<float>());
  __syncthreads();
  finish_tile<T, Tiles>(operands, epilogue, stager.row, stager.column, shared_memory<float>());
}

template <class Tiles>
int64_t tiles_of(const LinearOperands& operands) {
  return ceil_div(operands.rows, Tiles::rows) * ceil_div(operands.out, Tiles::columns);
}

template <class T, class Tiles>
void launch_tiles(Device& device, const LinearOperands& operands, const Epilogue& epilogue) {
  // Blocks that run together share their weights: those are read from memory once, x comes again and again from the cache.
  const LaunchShape shape{.grid = dim3(ceil_div(operands.rows, Tiles::rows), ceil_div(operands.out, Tiles::columns)),
                          .block = dim3(Tiles::threads),
                          .shared = Tiles::shared_bytes,
                          .may_start_early = true};
  if (operands.chunks_are_whole(sizeof(T)))
    launch(device, shape, many_rows_kernel<T, Tiles, true>, operands, epilogue);
  else
    launch(device, shape, many_rows_kernel<T, Tiles, false>, operands, epilogue);
}

}  // namespace

bool tiles_leave_gaps(const Device& device, const LinearOperands& operands) {
  return tiles_of<SmallTiles>(operands) < device.processors();
}

void linear_many_rows(Device& device, DType dtype, const LinearOperands& operands, const Epilogue& epilogue) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    if (tiles_of<LargeTiles>(operands) < device.processors())
      launch_tiles<T, SmallTiles>(device, operands, epilogue);
    else
      launch_tiles<T, LargeTiles>(device, operands, epilogue);
  });
}

}  // namespace vitrine::cuda
