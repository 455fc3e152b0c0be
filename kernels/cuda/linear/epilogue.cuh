// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/activation.cuh"
#include "kernels/cuda/device/quad.cuh"
#include "kernels/cuda/runtime/device.h"
#include "vitrine/dtype.h"

// What follows the sums of a linear operation: y = act(sum + bias) + residual, rounded to float32
// after each step as the separate operations round it.

namespace vitrine::internal::cuda {

/// A LinearArgs' optional parts as a kernel takes them. Strides are in elements.
struct Epilogue {
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* before = nullptr;
  void* out = nullptr;
  int64_t residual_stride = 0, before_stride = 0, out_stride = 0;
  Activation activation = Activation::kNone;
  bool out_is_float = true;        ///< otherwise of the weights' type
  bool fours_are_aligned = false;  ///< whether each four columns from a multiple of 4 on can be
                                   ///< loaded and stored at once

  /// What is added to an element: read early, it does not hold up the end.
  struct Terms {
    float bias = 0.0f, residual = 0.0f;
  };
  VITRINE_DEVICE Terms terms(int64_t row, int64_t column) const {
    Terms t;
    if (bias != nullptr) t.bias = bias[column];
    if (residual != nullptr) t.residual = residual[row * residual_stride + column];
    return t;
  }

  /// Finishes element (row, column). T is the weights' type.
  template <class T>
  VITRINE_DEVICE void finish(int64_t row, int64_t column, float sum, const Terms& t) const {
    float y = sum;
    if (bias != nullptr) y += t.bias;
    if (before != nullptr) before[row * before_stride + column] = y;
    y = activate(activation, y);
    if (residual != nullptr) y += t.residual;
    const int64_t at = row * out_stride + column;
    if (out_is_float)
      static_cast<float*>(out)[at] = y;
    else
      static_cast<T*>(out)[at] = narrow<T>(y);
  }
  template <class T>
  VITRINE_DEVICE void apply(int64_t row, int64_t column, float sum) const {
    finish<T>(row, column, sum, terms(row, column));
  }
};

/// Sums of a linear operation, or of `parts` parts of its inputs, in the device's memory.
struct PartialSums {
  float* data = nullptr;
  int64_t stride = 0;  ///< of a row
  int parts = 1;
  int64_t part_stride = 0;
};

/// Begins what follows the sums [rows, columns] of a linear operation with weights of `dtype`.
void apply_epilogue(Device& device, DType dtype, const PartialSums& sums, int64_t rows,
                    int64_t columns, const Epilogue& epilogue);

/// Throws Error (internal) for an output, tap or residual of a type that no kernel writes.
Epilogue epilogue_of(const LinearArgs& args);

}  // namespace vitrine::internal::cuda
