// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <string_view>

namespace vitrine::internal::cuda {

/// Throws Error (internal) "CUDA failed at <what> <of>: ..." if `status` is not success.
void check_cuda(cudaError_t status, std::string_view what, std::string_view of = {});

}  // namespace vitrine::internal::cuda
