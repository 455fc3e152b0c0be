// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/activation.cuh"
#include "kernels/cuda/device/quad.cuh"

// The derivatives of the activation functions, from the same pieces. Each is the sum of at most two
// terms, one the function's own factor of x, and exact but for a few roundings of the larger of the
// two.

namespace vitrine::internal::cuda {

/// The derivative of x / (1 + exp(-t)); `pull` is x t'(x), which is never negative: t is odd and
/// grows.
VITRINE_DEVICE float gated_slope(float x, const Gate& gate, float pull) {
  const float e = decay(gate.z), whole = fmaf(e, kDecayUnit, 1.0f);
  if (x >= 0.0f) return quotient(fmaf(pull, quotient(e * kDecayUnit, whole), 1.0f), whole);
  return quotient(e * (1.0f - quotient(pull, whole)), whole) * kDecayUnit;
}

VITRINE_DEVICE float gelu_tanh_slope(float x) {  // t = 2 sqrt(2 / pi) (x + 0.044715 x^3)
  const Gate gate = gelu_tanh_gate(x);
  return gated_slope(x, gate, gate.size * fmaf(2.14064449e-1f * gate.size, gate.size, 1.59576912f));
}

/// Phi(x) + x phi(x)
VITRINE_DEVICE float gelu_erf_slope(float x) {
  constexpr float kPeak = 3.98942280e-1f;  // 1 / sqrt(2 pi)
  const float size = bounded_size(x, kNormalEnd), square = size * size;
  if (size < kNearZero) {
    const float bell = decay(exact_product(square, 0x1.715476p-1f, 0x1.4ae0cp-27f)) * kDecayUnit;
    return fmaf(x, normal_series(square) + kPeak * bell, 0.5f);
  }
  const NormalTail normal = normal_tail(size);
  const float tail = quotient(normal.tail, fmaf(kRootOfTwo, size, 1.0f)),
              y = (tail - size * (kPeak * normal.bell)) * kDecayUnit;
  return x >= 0.0f ? 1.0f - y : y;
}

/// 1 - tanh^2 = 4 exp(-2 |x|) / (1 + exp(-2 |x|))^2
VITRINE_DEVICE float tanh_slope(float x) {
  const float e = tanh_decay(bounded_size(x, kTanhEnd)), whole = fmaf(e, kDecayUnit, 1.0f);
  return quotient(4.0f * e, whole * whole) * kDecayUnit;
}

/// At 0, where relu has none: 0, as PyTorch has it.
template <Activation kKind>
VITRINE_DEVICE float activation_slope(float x) {
  if constexpr (kKind == Activation::kGeluTanh) {
    return gelu_tanh_slope(x);
  } else if constexpr (kKind == Activation::kGeluErf) {
    return gelu_erf_slope(x);
  } else if constexpr (kKind == Activation::kGeluQuick) {
    const Gate gate = gelu_quick_gate(x);
    return gated_slope(x, gate, 1.702f * gate.size);
  } else if constexpr (kKind == Activation::kRelu) {
    return x <= 0.0f ? 0.0f : x > 0.0f ? 1.0f : x;
  } else if constexpr (kKind == Activation::kSilu) {
    const Gate gate = silu_gate(x);
    return gated_slope(x, gate, gate.size);
  } else if constexpr (kKind == Activation::kTanh) {
    return tanh_slope(x);
  } else {
    return 1.0f;
  }
}

VITRINE_DEVICE float slope(Activation kind, float x) {
  return with_activation(kind, [&](auto known) { return activation_slope<known.value>(x); });
}

VITRINE_DEVICE void multiply_by_slope(Quad& quad, Activation kind, const Quad& before) {
  with_activation(kind, [&](auto known) {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) quad.x[i] *= activation_slope<known.value>(before.x[i]);
  });
}

}  // namespace vitrine::internal::cuda
