#pragma once

#include "kernels/cuda/activation.h"
#include "kernels/cuda/primitives.h"

// What follows the sums of a linear operation: y = act(sum + bias) + residual, rounded to float32 after each step as the separate
// operations round it.

namespace vitrine::cuda {

/// A LinearArgs' optional parts as a kernel takes them. Strides are in elements.
struct Epilogue {
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* before = nullptr;
  void* out = nullptr;
  int64_t residual_stride = 0, before_stride = 0, out_stride = 0;
  Activation activation = Activation::kNone;
  bool out_is_float = true;  ///< otherwise of the weights' type

  /// Finishes element (row, column). T is the weights' type.
  template <class T>
  VITRINE_DEVICE void apply(int64_t row, int64_t column, float sum) const {
    float y = sum;
    if (bias != nullptr) y += bias[column];
    if (before != nullptr) before[row * before_stride + column] = y;
    y = activate(activation, y);
    if (residual != nullptr) y += residual[row * residual_stride + column];
    const int64_t at = row * out_stride + column;
    if (out_is_float) static_cast<float*>(out)[at] = y;
    else static_cast<T*>(out)[at] = narrow<T>(y);
  }
};

/// Throws Error (internal) for an output, tap or residual of a type that no kernel writes.
Epilogue epilogue_of(const LinearArgs& args);

}  // namespace vitrine::cuda
