// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/platform.cuh"
#include "kernels/cuda/runtime/check.h"
#include "vitrine/dtype.h"

namespace vitrine::internal::cuda {

/// f(T{}) with the element type that `dtype` names.
template <class F>
void with_element(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kF16:
      return f(F16{});
    case DType::kBF16:
      return f(Bf16{});
    default:
      fail("unsupported element type " + std::string(dtype_name(dtype)));
  }
}

}  // namespace vitrine::internal::cuda
