// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <limits>
#include <type_traits>

#include "kernels/backend.h"
#include "kernels/cuda/device/platform.cuh"

// The activation functions, each within 2.5 units in the last place everywhere, in float32 alone: a
// GPU has few units for double.
//
// All but relu come down to 2^-z for z >= 0, which is never more than 1 and whose argument is kept
// as the sum of two floats: an argument of z rounded to one float would cost z / 2 units. The other
// half of the real line follows by symmetry. No library function is called, so that a test of this
// file on a CPU is one of what a GPU computes, but for the last bit of a reciprocal.

namespace vitrine::internal::cuda {

/// 1 / d for a normal number d, up to one unit in the last place off.
VITRINE_DEVICE float reciprocal(float d) {
#if defined(__CUDACC__)
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(d));
  return r;
#else
  return cuda_on_host::reciprocal(d);
#endif
}

/// y / d within one unit in the last place, for d from 2^-60 to 2^60. The operator `/` has a slow
/// path for other divisors, a branch and a call, which keeps the compiler from computing several
/// quotients at once.
VITRINE_DEVICE float quotient(float y, float d) {
  float r = reciprocal(d);
  r = fmaf(r, fmaf(-d, r, 1.0f), r);
  const float q = y * r, corrected = fmaf(r, fmaf(-d, q, y), q);
  return fabsf(q) <= std::numeric_limits<float>::max() ? corrected : q;  // else infinity - infinity
}

struct TwoFloats {
  float high, low;
};

/// x * (k_high + k_low), k's second part being what the first lacks.
VITRINE_DEVICE TwoFloats exact_product(float x, float k_high, float k_low) {
  const float high = x * k_high;
  return {high, fmaf(x, k_low, fmaf(x, k_high, -high))};
}

constexpr float kDecayUnit = 0x1p-32f;
/// 2^-z / kDecayUnit for 0 <= z <= 158.4; so scaled, what lies below the normal numbers keeps its
/// digits.
VITRINE_DEVICE float decay(TwoFloats z) {
  constexpr float kMagic =
      0x1.8p23f;  // adding it rounds to an integer, which is then in the low bits
  const float shifted = kMagic - z.high, n = shifted - kMagic;
  const float r = -z.high - n - z.low;  // of which only the last difference is rounded
  float p = 1.54531630e-4f;
  p = fmaf(p, r, 1.33908634e-3f);
  p = fmaf(p, r, 9.61808256e-3f);
  p = fmaf(p, r, 5.55035711e-2f);
  p = fmaf(p, r, 2.40226508e-1f);
  p = fmaf(p, r, 6.93147188e-1f);
  p = fmaf(p, r, 1.0f);
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + (127 + 32)) << 23);
}

/// |x|, but not more than `most`; a NaN stays one.
VITRINE_DEVICE float bounded_size(float x, float most) {
  const float size = fabsf(x);
  return size > most ? most : size;
}

/// What gelu_tanh, gelu_quick and silu multiply x with is 1 / (1 + 2^-z), where z has the sign of
/// x.
struct Gate {
  float size;   ///< |x|, bounded to where z ends
  TwoFloats z;  ///< of |x|
};

/// x / (1 + 2^-z)
VITRINE_DEVICE float gated(float x, const Gate& gate) {
  const float e = decay(gate.z), whole = fmaf(e, kDecayUnit, 1.0f);
  const float y = quotient(x >= 0.0f ? x : -gate.size * e, whole);
  return x >= 0.0f ? y : y * kDecayUnit;
}

VITRINE_DEVICE Gate gelu_tanh_gate(
    float x) {  // 0.5 (1 + tanh(u)) is 1 / (1 + exp(-2 u)); z = 2 u / ln 2 = x (k1 + k3 x^2)
  constexpr float k1 = 0x1.26ap+1f,
                  k1_low = 0x1.d8437ap-12f;  // so short that `slope - k1` is exact
  constexpr float k3 = 0x1.a5a7dp-4f, k3_low = -0x1.151aacp-29f;
  const float size = bounded_size(x, 10.9f);
  const float square = size * size, square_low = fmaf(size, size, -square);
  const float slope = fmaf(k3, square, k1);
  const float slope_low =
      fmaf(k3, square, k1 - slope) + fmaf(k3, square_low, fmaf(k3_low, square, k1_low));
  return {size, exact_product(size, slope, slope_low)};
}

VITRINE_DEVICE Gate gelu_quick_gate(float x) {
  const float size = bounded_size(x, 64.5f);
  return {size, exact_product(size, 0x1.3a4cbep+1f, -0x1.c08ecap-26f)};
}

VITRINE_DEVICE Gate silu_gate(float x) {
  const float size = bounded_size(x, 109.7f);
  return {size, exact_product(size, 0x1.715476p+0f, 0x1.4ae0cp-26f)};
}

constexpr float kNearZero = 0.7f;
/// p with Phi(x) = 0.5 + x p, by Phi's own series; for |x| below kNearZero.
VITRINE_DEVICE float normal_series(float square) {
  float p = -8.50133964e-6f;
  p = fmaf(p, square, 1.14913994e-4f);
  p = fmaf(p, square, -1.18719441e-3f);
  p = fmaf(p, square, 9.97354140e-3f);
  p = fmaf(p, square, -6.64903794e-2f);
  return fmaf(p, square, 3.98942280e-1f);
}

/// Phi(-size) = tail / (1 + sqrt(2) size) and exp(-size^2 / 2) = bell, both in kDecayUnit; not near
/// 0.
struct NormalTail {
  float tail, bell;
};
/// Phi(-size) = 0.5 erfc(a), a = size / sqrt(2), from the scaled function exp(a^2) erfc(a), which
/// has no cancellation: times 1 + 2 a it is a smooth function of q = (a - 2) / (a + 2).
VITRINE_DEVICE NormalTail normal_tail(float size) {
  constexpr float kTwo = 2.82842712f;
  constexpr float kFit[] = {8.76512567e-6f,  9.76706572e-5f, 1.68588015e-4f,  -4.22307443e-4f,
                            -1.42737549e-3f, 1.26209673e-3f, 8.71274713e-3f,  -8.03271686e-3f,
                            -5.42185125e-2f, 1.64051197e-1f, -1.66030479e-1f, -9.27638247e-2f,
                            1.27697838f};
  const float q = quotient(size - kTwo, size + kTwo);
  float p = kFit[0];
#pragma unroll
  for (int i = 1; i < 13; ++i) p = fmaf(p, q, kFit[i]);
  const float square = size * size, square_low = fmaf(size, size, -square);
  TwoFloats z = exact_product(square, 0x1.715476p-1f, 0x1.4ae0cp-27f);
  z.low = fmaf(square_low, 0x1.715476p-1f, z.low);
  const float bell = decay(z);
  return {0.5f * p * bell, bell};
}

constexpr float kRootOfTwo = 1.41421356f;
constexpr float kNormalEnd = 14.8f;  ///< where its tail is below all floats

/// x Phi(x)
VITRINE_DEVICE float gelu_erf(float x) {
  const float size = bounded_size(x, kNormalEnd);
  if (size < kNearZero) return x * fmaf(x, normal_series(size * size), 0.5f);
  const float tail = normal_tail(size).tail;
  const float y =
      quotient(x >= 0.0f ? tail : -size * tail, fmaf(kRootOfTwo, size, 1.0f)) * kDecayUnit;
  return x >= 0.0f ? x * (1.0f - y) : y;
}

/// exp(-2 |x|) in kDecayUnit
VITRINE_DEVICE float tanh_decay(float size) {
  return decay(exact_product(size, 0x1.715476p+1f, 0x1.4ae0cp-25f));
}
constexpr float kTanhEnd = 54.0f;

VITRINE_DEVICE float tanh_of(float x) {
  const float size = bounded_size(x, kTanhEnd), square = size * size;
  if (size < 0.55f) {
    float p = -6.61022783e-3f;
    p = fmaf(p, square, 2.13093887e-2f);
    p = fmaf(p, square, -5.39094288e-2f);
    p = fmaf(p, square, 1.33331137e-1f);
    p = fmaf(p, square, -3.33333320e-1f);
    return fmaf(x * square, p, x);
  }
  const float e = tanh_decay(size) * kDecayUnit;
  return copysignf(1.0f - quotient(2.0f * e, 1.0f + e), x);
}

template <Activation kKind>
VITRINE_DEVICE float activated(float x) {
  if constexpr (kKind == Activation::kGeluTanh)
    return gated(x, gelu_tanh_gate(x));
  else if constexpr (kKind == Activation::kGeluErf)
    return gelu_erf(x);
  else if constexpr (kKind == Activation::kGeluQuick)
    return gated(x, gelu_quick_gate(x));
  else if constexpr (kKind == Activation::kRelu)
    return x < 0.0f ? 0.0f : x;
  else if constexpr (kKind == Activation::kSilu)
    return gated(x, silu_gate(x));
  else if constexpr (kKind == Activation::kTanh)
    return tanh_of(x);
  else
    return x;
}

/// f with the activation as a constant type: the same branch for all threads.
template <class F>
VITRINE_DEVICE auto with_activation(Activation kind, const F& f) {
  switch (kind) {
    case Activation::kNone:
      break;
    case Activation::kGeluTanh:
      return f(std::integral_constant<Activation, Activation::kGeluTanh>{});
    case Activation::kGeluErf:
      return f(std::integral_constant<Activation, Activation::kGeluErf>{});
    case Activation::kGeluQuick:
      return f(std::integral_constant<Activation, Activation::kGeluQuick>{});
    case Activation::kRelu:
      return f(std::integral_constant<Activation, Activation::kRelu>{});
    case Activation::kSilu:
      return f(std::integral_constant<Activation, Activation::kSilu>{});
    case Activation::kTanh:
      return f(std::integral_constant<Activation, Activation::kTanh>{});
  }
  return f(std::integral_constant<Activation, Activation::kNone>{});
}

VITRINE_DEVICE float activate(Activation kind, float x) {
  return with_activation(kind, [&](auto known) { return activated<known.value>(x); });
}

}  // namespace vitrine::internal::cuda
