// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "kernels/backend.h"
#include "kernels/cuda/runtime/device.h"
#include "kernels/cuda/runtime/wait.h"

// Replacement for the CUDA backend in builds without CUDA.

namespace vitrine::internal {
namespace {

[[noreturn]] void refuse() {
  user_error(
      "this build has no CUDA support: rebuild with the CUDA toolkit (nvcc) and -DVITRINE_CUDA=ON, "
      "or use `device` cpu");
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions&) { refuse(); }

std::shared_ptr<cuda::Device> cuda::Device::open(int) { refuse(); }

bool cuda::wait_for_gpu(int) noexcept { return false; }

}  // namespace vitrine::internal
