// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/activation.cuh"
#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

namespace vitrine::internal {
namespace {

using namespace cuda;

template <class Y>
__global__ void activate_rows(RowGrid grid, Rows<float> x, Activation activation, Rows<Y> out) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = grid.row(), column = grid.column();
  const int count = grid.count();
  if (count <= 0) return;
  Quad quad = load_quad(x.at(row, column), count, x.aligned && count == kQuad);
#pragma unroll
  for (int i = 0; i < kQuad; ++i) quad.x[i] = activate(activation, quad.x[i]);
  store_quad(out.at(row, column), quad, count, out.aligned && count == kQuad);
}

__global__ void add_rows(RowGrid grid, Rows<float> a, Rows<float> b, Rows<float> out) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = grid.row(), column = grid.column();
  const int count = grid.count();
  if (count <= 0) return;
  Quad sum = load_quad(a.at(row, column), count, a.aligned && count == kQuad);
  cuda::add(sum, load_quad(b.at(row, column), count, b.aligned && count == kQuad));
  store_quad(out.at(row, column), sum, count, out.aligned && count == kQuad);
}

}  // namespace

void CudaBackend::activate(Mat x, Activation activation, Mat out) {
  const RowGrid grid(x.rows, x.cols);
  with_element(out.dtype, [&](auto y) {
    using Y = decltype(y);
    launch(*device_, grid.shape(), activate_rows<Y>, grid, float_rows(x, "an activation's input"),
           activation, Rows<Y>(out));
  });
}

void CudaBackend::add(Mat a, Mat b, Mat out) {
  const RowGrid grid(a.rows, a.cols);
  launch(*device_, grid.shape(), add_rows, grid, float_rows(a, "a sum"), float_rows(b, "a sum"),
         float_rows(out, "a sum"));
}

}  // namespace vitrine::internal
