// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/linear/epilogue.cuh"
#include "kernels/cuda/linear/paths.h"
#include "kernels/cuda/runtime/launch.h"

// What follows the sums of a linear operation where another kernel has computed them, whole or in
// parts that are added here: an element a thread.

namespace vitrine::internal::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    finish_sums(PartialSums sums, int64_t columns, Epilogue epilogue) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t blocks = ceil_div(columns, kThreads);
  const int64_t row = blockIdx.x / blocks, column = blockIdx.x % blocks * kThreads + threadIdx.x;
  if (column >= columns) return;
  const float* at = sums.data + row * sums.stride + column;
  // One sum is taken as it is; parts are added to zero in ascending order, as linear.cuh says.
  float sum = sums.parts == 1 ? *at : 0.0f;
#pragma unroll 4
  for (int part = 0; part < sums.parts && sums.parts > 1; ++part)
    sum += at[part * sums.part_stride];
  epilogue.apply<T>(row, column, sum);
}

}  // namespace

void apply_epilogue(Device& device, DType dtype, const PartialSums& sums, int64_t rows,
                    int64_t columns, const Epilogue& epilogue) {
  const LaunchShape shape{dim3(rows * ceil_div(columns, kThreads)), dim3(kThreads), 0, true};
  with_element(dtype, [&](auto element) {
    launch(device, shape, finish_sums<decltype(element)>, sums, columns, epilogue);
  });
}

void apply_epilogue(Device& device, const LinearArgs& args, const Mat& sums) {
  apply_epilogue(device, args.weight->dtype, {sums.f32(), sums.stride}, sums.rows, sums.cols,
                 epilogue_of(args));
}

}  // namespace vitrine::internal::cuda
