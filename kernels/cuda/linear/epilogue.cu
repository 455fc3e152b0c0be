// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/linear/epilogue.cuh"
#include "kernels/cuda/linear/paths.h"
#include "kernels/cuda/runtime/launch.h"

// What follows the sums of a linear operation where another's kernel has computed them: an element
// a thread.

namespace vitrine::internal::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    finish_sums(const float* sums, int64_t stride, int64_t columns, Epilogue epilogue) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t parts = ceil_div(columns, kThreads);
  const int64_t row = blockIdx.x / parts, column = blockIdx.x % parts * kThreads + threadIdx.x;
  if (column < columns) epilogue.apply<T>(row, column, sums[row * stride + column]);
}

}  // namespace

void apply_epilogue(Device& device, const LinearArgs& args, const Mat& sums) {
  const LaunchShape shape{dim3(sums.rows * ceil_div(sums.cols, kThreads)), dim3(kThreads), 0, true};
  with_element(args.weight->dtype, [&](auto element) {
    launch(device, shape, finish_sums<decltype(element)>, sums.f32(), sums.stride, sums.cols,
           epilogue_of(args));
  });
}

}  // namespace vitrine::internal::cuda
