// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/platform.cuh"
#include "kernels/cuda/runtime/device.h"

namespace vitrine::internal::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared = 0;  ///< bytes of dynamic shared memory for each block
  /// The kernel calls wait_for_previous_kernel() before it touches what others write, so it may
  /// start early.
  bool may_start_early = false;
};

/// Throws Error (internal) naming `what` if a cudaError_t is not success.
void check_launch(int status, const char* what);

/// Launches a kernel on the device's stream. An empty grid is not launched.
template <class... P, class... A>
void launch(Device& device, const LaunchShape& shape, void (*kernel)(P...), A... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
#if defined(__CUDACC__)
  if (shape.shared > 48 * 1024) {
    check_launch(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shape.shared)),
                 "reserving shared memory");
  }
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared;
  config.stream = static_cast<cudaStream_t>(device.stream());
  config.attrs = &early;
  config.numAttrs = shape.may_start_early && device.capability() >= 90 ? 1 : 0;
  check_launch(cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...), "launching a kernel");
#else
  cuda_on_host::launch(device, {shape.grid, shape.block, shape.shared},
                       [=] { kernel(static_cast<P>(args)...); });
#endif
}

}  // namespace vitrine::internal::cuda
