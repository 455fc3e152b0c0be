// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/device/activation_slope.cuh"
#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/linear/tiles.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// dx = (dy W^T) * act'(before) + residual. The same products as for x W (linear/tiles.cuh), with
// sums over the outputs: a stage has dy's rows as they are and the same depth of rows of the packed
// weights [out][in], which are the right operand laid crosswise (device/mma.cuh).
//
// The sums follow linear.h's order: parts of kPart outputs, added in ascending order. Where there
// are so few tiles that most of the device would idle, each part gets a block of its own, and a
// second kernel adds what they leave in memory, in the same order: one block or many, one row or a
// thousand give the same bits.

namespace vitrine::internal {
namespace {

using namespace cuda;

/// What the parts' sums may take of the scratch memory; beyond it there are enough rows to keep the
/// device busy.
constexpr size_t kMostPartBytes = size_t{64} << 20;

/// The optional parts of LinearBackwardArgs as a kernel takes them.
template <class T>
struct Ending {
  Rows<float> product, before, residual, dx;  ///< only one of dx and narrow_dx is given
  Rows<T> narrow_dx;
  Activation activation;

  explicit Ending(const LinearBackwardArgs& args)
      : product(float_rows(args.product, "a linear operation's product")),
        before(float_rows(args.before, "an activation's input")),
        residual(float_rows(args.residual, "a residual")),
        activation(args.activation) {
    if (args.dx.dtype == DType::kF32)
      dx = Rows<float>(args.dx);
    else if (args.dx.dtype == args.weight->dtype)
      narrow_dx = Rows<T>(args.dx);
    else
      fail("gradient of a linear operation: expected float32 or the weights' type");
  }

  template <class E>
  static VITRINE_DEVICE Quad load(const Rows<E>& from, int64_t row, int64_t column, int count) {
    return load_quad(from.at(row, column), count, from.aligned && count == kQuad);
  }
  template <class E>
  static VITRINE_DEVICE void store(const Rows<E>& to, int64_t row, int64_t column, const Quad& quad,
                                   int count) {
    store_quad(to.at(row, column), quad, count, to.aligned && count == kQuad);
  }

  /// Finishes `count` elements from a column on that is a multiple of kQuad.
  VITRINE_DEVICE void finish(int64_t row, int64_t column, Quad sums, int count) const {
    if (product.data != nullptr) store(product, row, column, sums, count);
    if (activation != Activation::kNone)
      multiply_by_slope(sums, activation, load(before, row, column, count));
    if (residual.data != nullptr) add(sums, load(residual, row, column, count));
    if (dx.data != nullptr)
      store(dx, row, column, sums, count);
    else
      store(narrow_dx, row, column, sums, count);
  }
};

/// Rows of the weights, one stage deep, of a block's columns. In linear.h's terms the columns are
/// `out` and the sums run over `in`.
template <class T, class Tiles, bool kWhole>
struct CrosswiseWeights {
  static constexpr int kRowChunks = Tiles::columns / kChunk<T>,
                       kRowsAtOnce = Tiles::threads / kRowChunks;
  static constexpr int kDepth = kStageSpans * kSpan<T>;
  static_assert(kRowChunks % 8 == 0 && kDepth % kRowsAtOnce == 0);
  const LinearOperands& operands;
  std::byte* ring;
  int column;  ///< the block's first

  static VITRINE_DEVICE Chunk* rows(std::byte* stage) {
    return reinterpret_cast<Chunk*>(stage + Tiles::rows * kStageRow);
  }

  VITRINE_DEVICE void load(int step) const {
    const int chunk = static_cast<int>(threadIdx.x) % kRowChunks,
              first = static_cast<int>(threadIdx.x) / kRowChunks;
    const int c = column + chunk * kChunk<T>;
#pragma unroll
    for (int n = 0; n < kDepth; n += kRowsAtOnce) {
      const int row = n + first, k = step * kDepth + row;
      const bool valid = k < operands.in && c < operands.out;
      Chunk* to = rows(stage_of<Tiles>(ring, step)) + row * kRowChunks +
                  chunk_place<T, Share::kHalves>(row, chunk);
      const std::byte* from = operands.weight + k * operands.weight_stride;
      if constexpr (kWhole)  // a row is padded to whole chunks
        copy_async(to, from + int64_t{c} * static_cast<int>(sizeof(T)),
                   valid ? static_cast<int>(sizeof(Chunk)) : 0);
      else
        *to = valid ? load_bounded<T>(from, c, operands.out) : Chunk{};
    }
  }
  VITRINE_DEVICE Chunk share(std::byte* stage, int span, int j) const {
    const int eights = warp_id() % Tiles::column_warps * Tiles::column_tiles + j;
    return crosswise_chunk<T, Share::kHalves>(rows(stage) + span * kSpan<T> * kRowChunks,
                                              kRowChunks, eights * (8 / kChunk<T>));
  }
};

/// f(row, column, quad, elements of it) for all of a tile's totals.
template <class Tiles, class F>
VITRINE_DEVICE void for_each_quad(const LinearOperands& operands, int row, int column,
                                  const float* totals, const F& f) {
  constexpr int kQuads = Tiles::columns / kQuad;
  for (int n = static_cast<int>(threadIdx.x); n < Tiles::rows * kQuads; n += Tiles::threads) {
    const int r = n / kQuads, c = n % kQuads * kQuad, left = operands.out - column - c;
    if (row + r < operands.rows && left > 0)
      f(row + r, column + c, load_quad(totals + r * Tiles::out_stride + c, kQuad, true),
        left < kQuad ? left : kQuad);
  }
}

/// `parts`: null, and each block takes all of the sums; or where a block that takes one part leaves
/// them, [parts][rows][columns].
template <class T, class Tiles, bool kWhole>
__global__ void __launch_bounds__(Tiles::threads)
    multiply_crosswise(LinearOperands operands, Ending<T> ending, Rows<float> parts) {
  const int row = static_cast<int>(blockIdx.x) * Tiles::rows,
            column = static_cast<int>(blockIdx.y) * Tiles::columns;
  const int steps = steps_of<T>(operands), part = static_cast<int>(blockIdx.z);
  const bool split = parts.data != nullptr;
  const int begin = split ? part * kStepsOfPart : 0,
            end = split && begin + kStepsOfPart < steps ? begin + kStepsOfPart : steps;
  Sums<Tiles> sums;
  sum_up<T, Tiles>(operands, StagedRows<T, Tiles, kWhole>{operands, shared_memory<>(), row},
                   CrosswiseWeights<T, Tiles, kWhole>{operands, shared_memory<>(), column}, begin,
                   end, sums);
  float* totals = shared_memory<float>();
  store_totals<Tiles>(sums, totals);
  __syncthreads();
  for_each_quad<Tiles>(
      operands, row, column, totals, [&](int r, int c, const Quad& quad, int count) {
        if (split)
          store_quad(parts.at(int64_t{part} * operands.rows + r, c), quad, kQuad, true);
        else
          ending.finish(r, c, quad, count);
      });
}

template <class T>
__global__ void add_parts(RowGrid grid, Rows<float> parts, int count, int64_t rows,
                          Ending<T> ending) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = grid.row(), column = grid.column();
  if (grid.count() <= 0) return;
  Quad sums{};
#pragma unroll 4
  for (int part = 0; part < count; ++part)
    add(sums, load_quad(parts.at(part * rows + row, column), kQuad, true));
  ending.finish(row, column, sums, grid.count());
}

template <class T, class Tiles>
void launch_tiles(Device& device, const LinearOperands& operands, const Ending<T>& ending,
                  Rows<float> parts, int64_t count) {
  const LaunchShape shape{.grid = dim3(ceil_div(operands.rows, Tiles::rows),
                                       ceil_div(operands.out, Tiles::columns), count),
                          .block = dim3(Tiles::threads),
                          .shared = Tiles::shared_bytes,
                          .may_start_early = true};
  if (operands.rows_are_whole())
    launch(device, shape, multiply_crosswise<T, Tiles, true>, operands, ending, parts);
  else
    launch(device, shape, multiply_crosswise<T, Tiles, false>, operands, ending, parts);
}

template <class T>
void launch_for_rows(Device& device, const LinearOperands& operands, const Ending<T>& ending,
                     Rows<float> parts, int64_t count) {
  if (operands.rows <= FlatTiles::rows)
    launch_tiles<T, FlatTiles>(device, operands, ending, parts, count);
  else if (large_tiles_pay(device, operands))
    launch_tiles<T, LargeTiles>(device, operands, ending, parts, count);
  else
    launch_tiles<T, SmallTiles>(device, operands, ending, parts, count);
}

LinearOperands operands_of(const Mat& dy, const PackedMatrix& w) {
  LinearOperands operands;
  operands.x = dy.data;
  operands.weight = w.data;
  operands.x_stride = dy.stride * static_cast<int64_t>(dtype_size(dy.dtype));
  operands.weight_stride = w.panel_stride;
  operands.rows = static_cast<int>(dy.rows);
  operands.in = static_cast<int>(w.out);
  operands.out = static_cast<int>(w.in);
  return operands;
}

}  // namespace

void CudaBackend::linear_backward(const LinearBackwardArgs& args) {
  const LinearOperands operands =
      operands_of(as_type(args.dy, args.weight->dtype, "dy of a linear operation"), *args.weight);
  const int64_t stride = ceil_div(operands.out, kQuad) * kQuad;
  with_element(args.weight->dtype, [&](auto element) {
    using T = decltype(element);
    const Ending<T> ending(args);
    const int64_t parts = ceil_div(operands.in, kPart<T>);
    const size_t bytes = static_cast<size_t>(parts * operands.rows * stride) * sizeof(float);
    const int64_t tiles = operands.rows <= FlatTiles::rows ? tiles_of<FlatTiles>(operands)
                                                           : tiles_of<SmallTiles>(operands);
    if (parts == 1 || tiles >= device_->processors() || bytes > kMostPartBytes)
      return launch_for_rows(*device_, operands, ending, {}, 1);
    const Rows<float> sums(reinterpret_cast<float*>(scratch(bytes)), stride);
    launch_for_rows(*device_, operands, ending, sums, parts);
    const RowGrid grid(operands.rows, operands.out);
    launch(*device_, grid.shape(), add_parts<T>, grid, sums, static_cast<int>(parts),
           int64_t{operands.rows}, ending);
  });
}

}  // namespace vitrine::internal
