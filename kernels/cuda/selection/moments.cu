// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Moments of captured rows, where the captures lie. A block of rows is centred on its own mean
// first; then each thread block sums a square of the products, of which there are far more than of
// anything else here.

namespace vitrine::internal {
namespace {

using namespace cuda;

template <class X>
__global__ void widen_rows(RowGrid grid, Rows<X> x, const double* origin, double* out,
                           int32_t* spoiled) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = grid.row(), column = grid.column();
  const int count = grid.count();
  if (count <= 0) return;
  const Quad quad = load_quad(x.at(row, column), count, x.aligned && count == kQuad);
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<double>(quad.x[i]);
    if (!std::isfinite(value)) *spoiled = 1;
    out[row * grid.cols + column + i] = origin != nullptr ? value - origin[column + i] : value;
  }
}

constexpr int kMeanThreads = 64;

/// A thread for each column: `delta` is how far the block's mean lies from the mean of all before.
__global__ void join_means(MomentsArgs args, double* block_mean, double* delta) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kMeanThreads + threadIdx.x;
  if (column >= args.width) return;
  double sum = 0;
  for (int64_t row = 0; row < args.rows; ++row) sum += args.x[row * args.width + column];
  const auto rows = static_cast<double>(args.rows);
  block_mean[column] = sum / rows;
  delta[column] = block_mean[column] - args.mean[column];
  args.mean[column] += rows / (args.weight + rows) * delta[column];
}

constexpr int kSide = 64;  // of a block's square
constexpr int kEach = 4;   // of a thread's
constexpr int kAcross = kSide / kEach;
constexpr int kDepth = 16;  // rows that are staged together

/// Stages rows [begin, begin + kDepth) of the square's columns, centred; zeros where there are
/// none.
VITRINE_DEVICE void stage(const MomentsArgs& args, const double* block_mean, int64_t begin,
                          int64_t first, double* to) {
  for (int i = static_cast<int>(threadIdx.x); i < kDepth * kSide; i += kAcross * kAcross) {
    const int64_t row = begin + i / kSide, column = first + i % kSide;
    to[i] = row < args.rows && column < args.width
                ? args.x[row * args.width + column] - block_mean[column]
                : 0.0;
  }
}

__global__ void __launch_bounds__(kAcross* kAcross)
    join_products(MomentsArgs args, const double* block_mean, const double* delta) {
  if (blockIdx.x > blockIdx.y) return;  // above the diagonal
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kSide,
                first_column = static_cast<int64_t>(blockIdx.x) * kSide;
  const int y = static_cast<int>(threadIdx.x) / kAcross,
            x = static_cast<int>(threadIdx.x) % kAcross;
  double* left = shared_memory<double>();
  double* top = left + kDepth * kSide;
  double sum[kEach][kEach] = {};
  for (int64_t begin = 0; begin < args.rows; begin += kDepth) {
    stage(args, block_mean, begin, first_row, left);
    stage(args, block_mean, begin, first_column, top);
    __syncthreads();
    for (int k = 0; k < kDepth; ++k) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int j = 0; j < kEach; ++j)
          sum[i][j] =
              fma(left[k * kSide + y + i * kAcross], top[k * kSide + x + j * kAcross], sum[i][j]);
      }
    }
    __syncthreads();
  }
  const auto rows = static_cast<double>(args.rows);
  const double between = args.weight * (rows / (args.weight + rows));
  for (int i = 0; i < kEach; ++i) {
    for (int j = 0; j < kEach; ++j) {
      const int64_t row = first_row + y + i * kAcross, column = first_column + x + j * kAcross;
      if (row < args.width && column <= row)
        args.products[row * args.width + column] +=
            sum[i][j] + between * delta[row] * delta[column];
    }
  }
}

}  // namespace

void CudaBackend::widen(Mat x, const double* origin, double* out, int32_t* spoiled) {
  const RowGrid grid(x.rows, x.cols);
  with_element(x.dtype, [&](auto element) {
    using X = decltype(element);
    launch(*device_, grid.shape(), widen_rows<X>, grid, Rows<X>(x), origin, out, spoiled);
  });
}

void CudaBackend::join_moments(const MomentsArgs& args) {
  if (args.rows == 0) return;
  auto* block_mean =
      reinterpret_cast<double*>(scratch(2 * static_cast<size_t>(args.width) * sizeof(double)));
  double* delta = block_mean + args.width;
  const auto columns = static_cast<unsigned>(ceil_div(args.width, kMeanThreads)),
             squares = static_cast<unsigned>(ceil_div(args.width, kSide));
  launch(*device_, {.grid = dim3(columns), .block = dim3(kMeanThreads)}, join_means, args,
         block_mean, delta);
  launch(*device_,
         {.grid = dim3(squares, squares),
          .block = dim3(kAcross * kAcross),
          .shared = 2 * kDepth * kSide * sizeof(double)},
         join_products, args, block_mean, delta);
}

}  // namespace vitrine::internal
