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

/// sum * 2^exponent as float32, cut off towards zero; infinite from 2^128 on.
float towards_zero(int64_t sum, int exponent) {
  if (sum == 0) return 0.0f;
  const uint64_t size = static_cast<uint64_t>(std::abs(sum));
  const int highest = 63 - std::countl_zero(size), scale = highest + exponent;
  if (scale < -126) return cut_off(std::ldexp(static_cast<double>(sum), exponent)) + 0.0f;
  const uint64_t mantissa = highest > 23 ? size >> (highest - 23) : size << (23 - highest);
  const uint32_t bits = scale > 127 ? 0x7f800000u
                                    : static_cast<uint32_t>(scale + 127) << 23 |
                                          (static_cast<uint32_t>(mantissa) & 0x7fffffu);
  return std::bit_cast<float>(bits | (sum < 0 ? 0x80000000u : 0));
}

float value(const Operand& operand, size_t i) {
  if (!operand.finite) return operand.value[i];
  return std::ldexp(static_cast<float>(operand.significand[i / 4][i % 4]),
                    operand.exponent[i / 4][i % 4] - 10);
}

/// Where not all is finite.
float special_sum(const Operand& left, const Operand& right, size_t begin, size_t count, float c) {
  float sum = c;
  for (size_t i = begin; i < begin + count; ++i) sum += value(left, i) * value(right, i);
  return std::isfinite(sum) ? std::numeric_limits<float>::quiet_NaN() : sum;
}

bool all_finite(const Operand& operand, size_t begin, size_t count) {
  const float* values = operand.value + begin;
  return operand.finite ||
         std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

Four chosen(Four mask, Four yes, Four no) { return (mask & yes) | (~mask & no); }

/// One sum of the products in `kFours` vectors from `begin` on. The emulated GPU spends most of its
/// time here: branches that depend on the data, or wider numbers, make it several times as slow.
template <size_t kFours>
float one_sum(const TensorCore& core, const Operand& left, const Operand& right, size_t begin,
              float c) {
  constexpr int kProductBits = 20, kFloatBits = 23;  // of the fractions
  if (!all_finite(left, 4 * begin, 4 * kFours) || !all_finite(right, 4 * begin, 4 * kFours))
    return special_sum(left, right, 4 * begin, 4 * kFours, c);
  if (!std::isfinite(c)) return c;

  const uint32_t bits = std::bit_cast<uint32_t>(c);
  const int field = static_cast<int>(bits >> 23 & 0xffu), c_exponent = std::max(field, 1) - 127;
  const uint32_t c_size = (bits & 0x7fffffu) | (field > 0 ? 0x800000u : 0);
  const Four zero = Four{} + core.zero_exponent;
  Four products[kFours], exponents[kFours];
  for (size_t i = 0; i < kFours; ++i) {
    products[i] = left.significand[begin + i] * right.significand[begin + i];
    exponents[i] =
        chosen(products[i] == 0, zero, left.exponent[begin + i] + right.exponent[begin + i]);
  }
  Four most = exponents[0];
  for (size_t i = 1; i < kFours; ++i) most = chosen(exponents[i] > most, exponents[i], most);
  const int highest =
      std::max({most[0], most[1], most[2], most[3], c_size == 0 ? core.zero_exponent : c_exponent});

  using Unsigned = uint32_t __attribute__((vector_size(16)));
  const int f = core.fraction_bits;
  Four sums{};  // 16 products of less than 2^27 fit
  for (size_t i = 0; i < kFours; ++i) {
    const Four sign = products[i] >> 31, down = highest - exponents[i];
    const auto size = (Unsigned)((products[i] ^ sign) - sign) << (f - kProductBits);
    const auto cut = (Four)(size >> (Unsigned)chosen(down > 31, Four{} + 31, down));
    sums += (cut ^ sign) - sign;
  }
  const int64_t sum = int64_t{sums[0]} + sums[1] + sums[2] + sums[3];
  const int64_t c_cut = int64_t{c_size} << (f - kFloatBits) >> std::min(highest - c_exponent, 31);
  return towards_zero(sum + (c < 0 ? -c_cut : c_cut), highest - f);
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

bool is_zero(const Operand& operand) {
  Four any{};
  for (const Four& four : operand.significand) any |= four;
  return operand.finite && (any[0] | any[1] | any[2] | any[3]) == 0;
}

float fused_sum(const TensorCore& core, MmaKind kind, const Operand& left, const Operand& right,
                float c) {
  // Rows and columns that are not there. c stays whole: its exponent is above that of a zero.
  if ((left.zero && right.finite) || (right.zero && left.finite)) return c + 0.0f;
  const bool halves = core.bytes_at_once == 16;
  if (kind == MmaKind::kTf32) {
    if (!halves) return one_sum<2>(core, left, right, 0, c);
    return one_sum<1>(core, left, right, 1, one_sum<1>(core, left, right, 0, c));
  }
  if (!halves) return one_sum<4>(core, left, right, 0, c);
  return one_sum<2>(core, left, right, 2, one_sum<2>(core, left, right, 0, c));
}

float fused_sum(const TensorCore& core, MmaKind kind, std::span<const Element> left,
                std::span<const Element> right, float c) {
  const auto operand = [](std::span<const Element> elements) {
    Operand result;
    for (size_t i = 0; i < elements.size(); ++i) {
      result.significand[i / 4][i % 4] = elements[i].significand;
      result.exponent[i / 4][i % 4] = elements[i].exponent;
      result.value[i] = elements[i].value;
      result.finite = result.finite && elements[i].finite;
    }
    result.zero = is_zero(result);
    return result;
  };
  return fused_sum(core, kind, operand(left), operand(right), c);
}

}  // namespace vitrine::internal::cuda_on_host
