// SPDX-License-Identifier: MIT
#include "tests/cuda_on_host/fused_sum.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace vitrine::internal::cuda_on_host {
namespace {

// Vector arithmetic of GCC and Clang, a number for each column.
using Eight = int32_t __attribute__((vector_size(32)));
using Unsigned = uint32_t __attribute__((vector_size(32)));
using Long = int64_t __attribute__((vector_size(64)));
using Double = double __attribute__((vector_size(64)));
using Float = float __attribute__((vector_size(32)));

float value(int32_t significand, int exponent) {
  if (exponent != kNotFinite) return std::ldexp(static_cast<float>(significand), exponent - 10);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (std::abs(significand) != 0x400) return std::numeric_limits<float>::quiet_NaN();
  return significand < 0 ? -kInfinity : kInfinity;
}

/// Where a number is not finite.
float special_sum(const Row& left, const Columns& right, int begin, int end, int column, float c) {
  float sum = c;
  for (int k = begin; k < end; ++k)
    sum += value(left.significand[k], left.exponent[k]) *
           value(right.significand[k][column], right.exponent[k][column]);
  return std::isfinite(sum) ? std::numeric_limits<float>::quiet_NaN() : sum;
}

/// numbers * 2^exponent as float32, cut off towards zero; infinite from 2^128 on.
void narrow(const Double& numbers, const Eight& exponent, Float& found) {
  const Double power = (Double)(__builtin_convertvector(exponent + 1023, Long) << 52),
               exact = numbers * power;
  found = __builtin_convertvector((Double)((Long)exact & ~int64_t{0x1fffffff}), Float);
  for (int j = 0; j < 8; ++j) {
    if (exact[j] != 0 && std::abs(exact[j]) < 0x1p-126) found[j] = cut_off(exact[j]) + 0.0f;
  }
}

/// Whether all of the products are zero, as where an operand is filled up: half of all in the
/// tests.
bool all_zero(const Row& left, const Columns& right, int begin, int count) {
  for (int i = begin / kQuarter; i < (begin + count) / kQuarter; ++i) {
    const Quarter &row = left.quarters[i], &columns = right.quarters[i];
    if (!row.finite || !columns.finite || (row.bits != 0 && columns.bits != 0)) return false;
  }
  return true;
}

/// One sum of `kCount` products from `begin` on. The emulated GPU spends most of its time here:
/// branches that depend on each number make it several times as slow.
template <int kCount>
void one_sum(const TensorCore& core, const Row& left, const Columns& right, int begin,
             float (&c)[8]) {
  if (all_zero(left, right, begin, kCount)) {
    for (float& x : c) x = without_products(x);
    return;
  }
  constexpr int kProductBits = 20, kFloatBits = 23;  // of the fractions
  const auto chosen = [](const Eight& mask, const Eight& yes, const Eight& no, Eight& to) {
    to = (mask & yes) | (~mask & no);
  };
  // Numbers of `fraction` bits below the point, cut off where the largest exponent says.
  const Eight none{};
  const auto aligned = [&](const Eight& number, int fraction, const Eight& down, Eight& sum) {
    const Eight sign = number >> 31;
    Eight by;
    chosen(down > 31, none + 31, down, by);
    const auto size = (Unsigned)((number ^ sign) - sign) << (core.fraction_bits - fraction);
    sum += ((Eight)(size >> (Unsigned)by) ^ sign) - sign;
  };

  Eight products[kCount], exponents[kCount], most = none - kNotFinite, least = none + kNotFinite;
  for (int i = 0; i < kCount; ++i) {
    Eight significand, exponent;
    std::memcpy(&significand, right.significand[begin + i], sizeof significand);
    std::memcpy(&exponent, right.exponent[begin + i], sizeof exponent);
    products[i] = significand * left.significand[begin + i];
    exponents[i] = exponent + left.exponent[begin + i];
    chosen(exponents[i] > most, exponents[i], most, most);
    chosen(exponents[i] < least, exponents[i], least, least);
  }

  Eight bits, number, exponent, highest;
  std::memcpy(&bits, c, sizeof bits);
  const Eight field = bits >> 23 & 0xff, normal = field != 0, sign = bits >> 31;
  number = (((bits & 0x7fffff) | (normal & 0x800000)) ^ sign) - sign;
  chosen(normal, field - 127, none - 126, exponent);
  chosen(number == 0, none + core.zero_exponent, exponent, highest);
  chosen(highest > most, highest, most, highest);
  chosen((least < kNothing) & (highest < core.zero_exponent), none + core.zero_exponent, highest,
         highest);

  Eight sums[2] = {};  // 8 products of less than 2^27 fit into each, and one number more
  aligned(number, kFloatBits, highest - exponent, sums[0]);
  for (int i = 0; i < kCount; ++i)
    aligned(products[i], kProductBits, highest - exponents[i], sums[i % 2]);
  Float found;
  narrow(__builtin_convertvector(sums[0], Double) + __builtin_convertvector(sums[1], Double),
         highest - core.fraction_bits, found);

  for (int j = 0; j < 8; ++j) {
    if (most[j] > kSpecial)
      c[j] = special_sum(left, right, begin, begin + kCount, j, c[j]);
    else if (field[j] != 255)
      c[j] = found[j];
  }
}

}  // namespace

void fused_sums(const TensorCore& core, MmaKind kind, const Row& left, const Columns& right,
                float (&c)[8]) {
  const bool halves = core.bytes_at_once == 16;
  if (kind == MmaKind::kTf32) {
    if (!halves) return one_sum<8>(core, left, right, 0, c);
    one_sum<4>(core, left, right, 0, c);
    return one_sum<4>(core, left, right, 4, c);
  }
  if (!halves) return one_sum<16>(core, left, right, 0, c);
  one_sum<8>(core, left, right, 0, c);
  one_sum<8>(core, left, right, 8, c);
}

float fused_sum(const TensorCore& core, MmaKind kind, std::span<const Element> left,
                std::span<const Element> right, float c) {
  Row row;
  Columns columns;
  for (size_t k = 0; k < left.size(); ++k) row.set(static_cast<int>(k), left[k]);
  for (size_t k = 0; k < right.size(); ++k) columns.set(static_cast<int>(k), 0, right[k]);
  float sums[8] = {c};
  fused_sums(core, kind, row, columns, sums);
  return sums[0];
}

}  // namespace vitrine::internal::cuda_on_host
