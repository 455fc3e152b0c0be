#pragma once

#include "kernels/cuda/activation.h"
#include "kernels/cuda/primitives.h"

// What follows the sums of a linear operation: y = act(sum + bias) + residual, rounded to float32 after each step as the
// separate operations round it.

namespace vitrine::cuda {

/// A LinearArgs' optional parts as a kernel takes them. Strides are in elements.
struct Epilogue {
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* before = nullptr;
  void* out = nullptr;
  int64_t residual_stride = 0, before_stride = 0, out_stride = 0;
  Activation activation = Activation::kNone;
  bool out_is_float = true;        ///< otherwise of the weights' type
  bool fours_are_aligned = false;  ///< whether each four columns from a multiple of 4 on can be loaded and stored at once

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

  /// Finishes the elements [column, column + 4) before `columns` of a row; `column` is a multiple of 4, `sums` aligned to 16
  /// bytes.
  template <class T>
  VITRINE_DEVICE void apply_four(int64_t row, int64_t column, int64_t columns, const float* sums) const {
    if (!fours_are_aligned || column + 4 > columns) {
#pragma unroll 1
      for (int i = 0; i < 4 && column + i < columns; ++i) apply<T>(row, column + i, sums[i]);
      return;
    }
    Four y = four_at(sums);
    if (bias != nullptr) add(y, four_at(bias + column));
    if (before != nullptr) *reinterpret_cast<Four*>(before + row * before_stride + column) = y;
    activate_four(y);
    if (residual != nullptr) add(y, four_at(residual + row * residual_stride + column));
    const int64_t at = row * out_stride + column;
    if (out_is_float)
      *reinterpret_cast<Four*>(static_cast<float*>(out) + at) = y;
    else
      *reinterpret_cast<NarrowFour<T>*>(static_cast<T*>(out) + at) = {narrow<T>(y.at[0]), narrow<T>(y.at[1]),
                                                                      narrow<T>(y.at[2]), narrow<T>(y.at[3])};
  }

 private:
  using Four = Elements<float>;
  template <class T>
  struct alignas(4 * sizeof(T)) NarrowFour {
    T at[4];
  };
  static VITRINE_DEVICE Four four_at(const float* from) { return *reinterpret_cast<const Four*>(from); }
  static VITRINE_DEVICE void add(Four& y, const Four& other) {
#pragma unroll
    for (int i = 0; i < 4; ++i) y.at[i] += other.at[i];
  }
  template <Activation kKind>
  static VITRINE_DEVICE void activate_all(Four& y) {
#pragma unroll
    for (int i = 0; i < 4; ++i) y.at[i] = activated<kKind>(y.at[i]);
  }
  VITRINE_DEVICE void activate_four(Four& y) const {
    switch (activation) {
      case Activation::kNone:
        return;
      case Activation::kGeluTanh:
        return activate_all<Activation::kGeluTanh>(y);
      case Activation::kGeluErf:
        return activate_all<Activation::kGeluErf>(y);
      case Activation::kGeluQuick:
        return activate_all<Activation::kGeluQuick>(y);
      case Activation::kRelu:
        return activate_all<Activation::kRelu>(y);
      case Activation::kSilu:
        return activate_all<Activation::kSilu>(y);
      case Activation::kTanh:
        return activate_all<Activation::kTanh>(y);
    }
  }
};

/// Throws Error (internal) for an output, tap or residual of a type that no kernel writes.
Epilogue epilogue_of(const LinearArgs& args);

}  // namespace vitrine::cuda
