// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "tests/cuda_on_host/cuda_on_host.h"

// How a tensor core adds, as measured on hardware and published by MMA-Sim (Xie et al.,
// arXiv:2511.10909; its code is the oracle of fused_sum_test): exact products and the accumulator
// are aligned to the largest exponent among them, cut off some bits below it, added as whole
// numbers, and the sum is cut off to float32.

namespace vitrine::internal::cuda_on_host {

/// What differs between generations.
struct TensorCore {
  int fraction_bits;  ///< kept below the largest exponent
  int bytes_at_once;  ///< of one operand that one sum takes; an instruction with more makes several
  int zero_exponent;  ///< what a product of 0 counts as
};
inline constexpr TensorCore kAmpere{24, 16, -132}, kHopper{25, 32, -133};

// Exponents of what has none. The sum of two exponents, the product's, is above kSpecial if one of
// them is kNotFinite, and below kNothing if one is kZero and the other finite.
inline constexpr int kNotFinite = 1000, kZero = -400, kSpecial = 500, kNothing = -260;

/// An element of an operand: significand * 2^(exponent - 10). Not finite: an infinity if the
/// significand is 2^10 or -2^10, otherwise a NaN.
struct Element {
  int32_t significand = 0, exponent = kZero;
};

/// From 16 bits, or from the upper 19 of a float32 for TF32.
inline Element element(MmaKind kind, uint32_t bits) {
  const bool f16 = kind == MmaKind::kF16;
  // With the fraction's 10 bits from bit 13 on and the exponent from bit 23 on. bfloat16 is the
  // upper half of a float32; of a TF32 the lowest 13 bits are not looked at.
  const uint32_t whole = f16                      ? (bits & 0x8000u) << 16 | (bits & 0x7fffu) << 13
                         : kind == MmaKind::kBf16 ? bits << 16
                                                  : bits;
  const uint32_t most = f16 ? 31 : 255, field = whole >> 23 & most;
  const auto size = static_cast<int32_t>((whole >> 13 & 0x3ffu) | (field > 0 ? 0x400u : 0u));
  const int exponent = static_cast<int>(std::max(field, 1u)) - (f16 ? 15 : 127);
  return {(whole & 0x80000000u) != 0 ? -size : size, size == 0       ? kZero
                                                     : field == most ? kNotFinite
                                                                     : exponent};
}

/// Elements along K of one instruction: 16, or 8 of TF32. A sum takes whole quarters of them.
inline constexpr int kDepth = 16, kQuarter = kDepth / 4;

/// What a quarter of a row or of the columns holds.
struct Quarter {
  void add(Element e) {
    bits |= e.significand;
    finite &= e.exponent != kNotFinite;
  }
  int32_t bits = 0;  ///< 0: zeros alone
  bool finite = true;
};

/// One row of the left operand.
struct Row {
  Row() { std::fill_n(exponent, kDepth, kZero); }
  void set(int k, Element e) {
    significand[k] = e.significand, exponent[k] = e.exponent;
    quarters[k / kQuarter].add(e);
  }

  int32_t significand[kDepth] = {}, exponent[kDepth];
  Quarter quarters[4];
};

/// Eight columns of the right operand.
struct Columns {
  Columns() { std::fill_n(&exponent[0][0], kDepth * 8, kZero); }
  void set(int k, int column, Element e) {
    significand[k][column] = e.significand, exponent[k][column] = e.exponent;
    quarters[k / kQuarter].add(e);
  }

  alignas(32) int32_t significand[kDepth][8] = {}, exponent[kDepth][8];
  Quarter quarters[4];
};

/// c after products that are all zero: the same, without the sign of a zero.
inline float without_products(float c) { return c == 0.0f ? 0.0f : c; }

/// c += the products of a row and of each of eight columns, in one instruction of `kind`.
void fused_sums(const TensorCore& core, MmaKind kind, const Row& left, const Columns& right,
                float (&c)[8]);
/// The same for one column; shorter operands are filled up with zeros.
float fused_sum(const TensorCore& core, MmaKind kind, std::span<const Element> left,
                std::span<const Element> right, float c);

}  // namespace vitrine::internal::cuda_on_host
