#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/elementwise.h"

namespace vitrine {

namespace cpu {

float activate_one(float x, Activation activation) {
  const double v = x;
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kGeluTanh: return static_cast<float>(v / (1.0 + std::exp(-2.0 * 0.7978845608028654 * (v + 0.044715 * v * v * v))));
    case Activation::kGeluErf: return static_cast<float>(0.5 * v * std::erfc(-v * 0.7071067811865476));
    case Activation::kGeluQuick: return static_cast<float>(v / (1.0 + std::exp(-1.702 * v)));
    case Activation::kRelu: return x > 0.0f ? x : 0.0f;
    case Activation::kSilu: return static_cast<float>(v / (1.0 + std::exp(-v)));
    case Activation::kTanh: return static_cast<float>(std::tanh(v));
  }
  return x;
}

}  // namespace cpu

void CpuBackend::activate(Mat x, Activation activation, Mat out) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t j = 0; j < x.cols; ++j) out.row(r)[j] = cpu::activate_one(x.row(r)[j], activation);
  }
}

void CpuBackend::add(Mat a, Mat b, Mat out) {
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t j = 0; j < a.cols; ++j) out.row(r)[j] = a.row(r)[j] + b.row(r)[j];
  }
}

}  // namespace vitrine
