// SPDX-License-Identifier: MIT
#pragma once

// What the kernels are written in. Under nvcc it is CUDA C++. Everywhere else <cuda_on_host.h>
// (tests/cuda_on_host) gives the same words a meaning on a CPU, so that the same sources run, and
// are tested, on a machine without a GPU.

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#else
#include <cuda_on_host.h>
#endif

#include <cstddef>
#include <cstdint>

#include "base/ceil_div.h"

#define VITRINE_DEVICE __device__ __forceinline__

namespace vitrine::internal::cuda {

inline constexpr int kWarp = 32;

/// Elements as they lie in memory. A kernel's element type T is float, F16 or Bf16.
struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

}  // namespace vitrine::internal::cuda
