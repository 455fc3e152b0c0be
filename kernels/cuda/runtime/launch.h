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
  /// Neighbouring blocks of the grid that run at the same time and reach each other's shared
  /// memory.
  unsigned cluster = 1;
};

/// Launches the kernel at `kernel`; `arguments` are the addresses of its parameters, as for
/// cudaLaunchKernel. Throws Error (internal) that names the kernel.
void launch_kernel(Device& device, const LaunchShape& shape, const void* kernel, void** arguments);

/// Launches a kernel on the device's stream. An empty grid is not launched.
template <class... P, class... A>
void launch(Device& device, const LaunchShape& shape, void (*kernel)(P...), A... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  // A callback or a buffer of another GPU may have changed the calling thread's current one since
  // the pass began; a kernel needs its own.
  device.make_current();
#if defined(__CUDACC__)
  [&](P... values) {
    void* arguments[] = {const_cast<void*>(static_cast<const void*>(&values))...};
    launch_kernel(device, shape, reinterpret_cast<const void*>(kernel), arguments);
  }(static_cast<P>(args)...);
#else
  cuda_on_host::launch(device,
                       {shape.grid, shape.block, shape.shared, shape.may_start_early, shape.cluster,
                        reinterpret_cast<const void*>(kernel)},
                       [=] { kernel(static_cast<P>(args)...); });
#endif
}

}  // namespace vitrine::internal::cuda
