// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/activation_slope.cuh"
#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

namespace vitrine::internal {
namespace {

using namespace cuda;

template <class Y, class X>
__global__ void slope_rows(RowGrid grid, Rows<Y> dy, Rows<float> before, Activation activation,
                           Rows<X> dx) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = grid.row(), column = grid.column();
  const int count = grid.count();
  if (count <= 0) return;
  Quad quad = load_quad(dy.at(row, column), count, dy.aligned && count == kQuad);
  multiply_by_slope(quad, activation,
                    load_quad(before.at(row, column), count, before.aligned && count == kQuad));
  store_quad(dx.at(row, column), quad, count, dx.aligned && count == kQuad);
}

template <class X, class Y>
__global__ void convert_rows(RowGrid grid, Rows<X> from, Rows<Y> to) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = grid.row(), column = grid.column();
  const int count = grid.count();
  if (count <= 0) return;
  store_quad(to.at(row, column),
             load_quad(from.at(row, column), count, from.aligned && count == kQuad), count,
             to.aligned && count == kQuad);
}

/// f(X{}, Y{}) with the element types of both.
template <class F>
void with_elements(DType first, DType second, const F& f) {
  with_element(first, [&](auto x) { with_element(second, [&](auto y) { f(x, y); }); });
}

}  // namespace

void CudaBackend::activate_backward(Mat dy, Mat before, Activation activation, Mat dx) {
  const RowGrid grid(dx.rows, dx.cols);
  with_elements(dy.dtype, dx.dtype, [&](auto y, auto x) {
    using Y = decltype(y);
    using X = decltype(x);
    launch(*device_, grid.shape(), slope_rows<Y, X>, grid, Rows<Y>(dy),
           float_rows(before, "an activation's input"), activation, Rows<X>(dx));
  });
}

void CudaBackend::convert(Mat from, Mat to) {
  const RowGrid grid(to.rows, to.cols);
  with_elements(from.dtype, to.dtype, [&](auto x, auto y) {
    using X = decltype(x);
    using Y = decltype(y);
    launch(*device_, grid.shape(), convert_rows<X, Y>, grid, Rows<X>(from), Rows<Y>(to));
  });
}

}  // namespace vitrine::internal
