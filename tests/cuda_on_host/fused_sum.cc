// SPDX-License-Identifier: MIT
#include "tests/cuda_on_host/fused_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/float_bits.h"

namespace vitrine::internal::cuda_on_host {
namespace {

/// `significand` has `fraction` fraction bits; shifted to `bits` of them below `exponent` + `down`.
int64_t aligned(int64_t significand, int fraction, int bits, int down) {
  const int64_t size = std::abs(significand) << (bits - std::min(bits, fraction));
  const int right = down + std::max(0, fraction - bits);
  const int64_t cut = right > 62 ? 0 : size >> right;
  return significand < 0 ? -cut : cut;
}

/// To float32 towards zero; infinite from 2^128 on.
float towards_zero(int64_t sum, int exponent) {
  const double exact = std::ldexp(static_cast<double>(sum), exponent);
  if (std::abs(exact) >= 0x1p128)
    return std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(sum));
  return cut_off(exact) + 0.0f;
}

float special_sum(std::span<const Element> left, std::span<const Element> right, float c) {
  float sum = c;
  for (size_t i = 0; i < left.size(); ++i) sum += left[i].value * right[i].value;
  return std::isfinite(sum) ? std::numeric_limits<float>::quiet_NaN() : sum;
}

float one_sum(const TensorCore& core, std::span<const Element> left, std::span<const Element> right,
              float c) {
  constexpr int kProductBits = 20, kFloatBits = 23;
  const auto both_finite = [](const Element& a, const Element& b) { return a.finite && b.finite; };
  if (!std::isfinite(c) || !std::equal(left.begin(), left.end(), right.begin(), both_finite))
    return special_sum(left, right, c);

  const uint32_t bits = std::bit_cast<uint32_t>(c);
  const int field = static_cast<int>(bits >> 23 & 0xffu), c_exponent = std::max(field, 1) - 127;
  const int64_t c_size = static_cast<int64_t>(bits & 0x7fffffu) | (field > 0 ? 0x800000 : 0);
  int highest = c_size == 0 ? core.zero_exponent : c_exponent;
  for (size_t i = 0; i < left.size(); ++i) {
    const bool zero = left[i].significand == 0 || right[i].significand == 0;
    highest = std::max(highest, zero ? core.zero_exponent : left[i].exponent + right[i].exponent);
  }
  const int f = core.fraction_bits;
  int64_t sum = aligned(c < 0 ? -c_size : c_size, kFloatBits, f, highest - c_exponent);
  for (size_t i = 0; i < left.size(); ++i) {
    const int64_t product = int64_t{left[i].significand} * right[i].significand;
    if (product != 0)
      sum += aligned(product, kProductBits, f, highest - left[i].exponent - right[i].exponent);
  }
  return towards_zero(sum, highest - f);
}

}  // namespace

Element element(MmaKind kind, uint32_t bits) {
  Element e;
  uint32_t mantissa = 0, field = 0, most = 0;
  int bias = 127;
  bool negative = false;
  if (kind == MmaKind::kF16) {
    mantissa = bits & 0x3ffu, field = bits >> 10 & 0x1fu, most = 31, bias = 15;
    negative = (bits & 0x8000u) != 0;
    e.value = f16_to_f32(static_cast<uint16_t>(bits));
  } else {
    // bfloat16 is the upper half of a float32; of a TF32 the lowest 13 bits are not looked at.
    const uint32_t whole = kind == MmaKind::kBf16 ? bits << 16 : bits & 0xffffe000u;
    mantissa = whole >> 13 & 0x3ffu, field = whole >> 23 & 0xffu, most = 255;
    negative = (whole & 0x80000000u) != 0;
    e.value = std::bit_cast<float>(whole);
  }
  e.finite = field != most;
  e.exponent = static_cast<int>(std::max(field, 1u)) - bias;
  e.significand = static_cast<int32_t>(mantissa | (field > 0 ? 0x400u : 0u));
  if (negative) e.significand = -e.significand;
  return e;
}

float fused_sum(const TensorCore& core, MmaKind kind, std::span<const Element> left,
                std::span<const Element> right, float c) {
  const size_t at_once = static_cast<size_t>(core.bytes_at_once) / (kind == MmaKind::kTf32 ? 4 : 2);
  for (size_t begin = 0; begin < left.size(); begin += at_once) {
    const size_t count = std::min(at_once, left.size() - begin);
    c = one_sum(core, left.subspan(begin, count), right.subspan(begin, count), c);
  }
  return c;
}

}  // namespace vitrine::internal::cuda_on_host
