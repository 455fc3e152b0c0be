// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstring>

#include "base/float_bits.h"
#include "tests/cuda_on_host/block_runner.h"
#include "tests/cuda_on_host/fused_sum.h"

// The matrix instructions; fused_sum.h says how they add.

namespace vitrine::internal::cuda_on_host {
namespace {

/// A lane's words of both operands, four of the left and two of the right one, decoded once for all
/// lanes that read them.
struct Given {
  int32_t significand[6][2], exponent[6][2];
  float value[6][2];
  bool finite[6];
};

Given decoded(MmaKind kind, const Left& a, const Right& b) {
  Given given{};
  for (size_t w = 0; w < 6; ++w) {
    const uint32_t word = w < 4 ? a.word[w] : b.word[w - 4];
    given.finite[w] = true;
    for (unsigned half = 0; half < (kind == MmaKind::kTf32 ? 1 : 2); ++half) {
      const Element e = element(kind, word >> 16 * half);
      given.significand[w][half] = e.significand;
      given.exponent[w][half] = e.exponent;
      given.value[w][half] = e.value;
      given.finite[w] = given.finite[w] && e.finite;
    }
  }
  return given;
}

/// Of the words `first` and `second` of four lanes, in the instruction's own order along K: the
/// first words, then the second ones.
Operand gathered(MmaKind kind, const Given* lanes, size_t first, size_t second) {
  Operand result;
  const size_t words[2] = {first, second}, in_word = kind == MmaKind::kTf32 ? 1 : 2;
  for (size_t i = 0; i < 2; ++i) {
    const size_t w = words[i];
    // Whole vectors at once: stores of their parts would hold up the loads that follow.
    const auto four = [=](const auto& of, size_t a, size_t b) {
      return in_word == 1 ? Four{of(0)[w][0], of(1)[w][0], of(2)[w][0], of(3)[w][0]}
                          : Four{of(a)[w][0], of(a)[w][1], of(b)[w][0], of(b)[w][1]};
    };
    const auto significand = [=](size_t q) { return lanes[q].significand; };
    const auto exponent = [=](size_t q) { return lanes[q].exponent; };
    for (size_t half = 0; half < in_word; ++half) {
      result.significand[i * in_word + half] = four(significand, 2 * half, 2 * half + 1);
      result.exponent[i * in_word + half] = four(exponent, 2 * half, 2 * half + 1);
    }
    for (size_t q = 0; q < 4; ++q) result.finite = result.finite && lanes[q].finite[w];
  }
  result.zero = is_zero(result);
  if (result.finite) return result;
  size_t k = 0;
  for (const size_t w : words) {
    for (size_t q = 0; q < 4; ++q) {
      for (size_t half = 0; half < in_word; ++half) result.value[k++] = lanes[q].value[w][half];
    }
  }
  return result;
}

}  // namespace

float widen_f16(uint16_t bits) { return f16_to_f32(bits); }
float widen_bf16(uint16_t bits) { return bf16_to_f32(bits); }
uint16_t narrow_f16(float x) { return f32_to_f16(x); }
uint16_t narrow_bf16(float x) { return f32_to_bf16(x); }
float bits_to_float(uint32_t bits) { return std::bit_cast<float>(bits); }

float reciprocal(float d) {
  const float nearest = 1.0f / d;
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  // Off in either direction or not at all, as the divisor's last bits say.
  const uint32_t direction = std::bit_cast<uint32_t>(d) % 3;
  return !std::isnormal(nearest) ? nearest : std::bit_cast<float>(bits + direction - 1);
}

float cut_off(double x) {
  const float nearest = static_cast<float>(x);
  return std::abs(static_cast<double>(nearest)) > std::abs(x) ? std::nextafter(nearest, 0.0f)
                                                              : nearest;
}

uint32_t to_tf32(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (!std::isfinite(x)) return bits;
  return (bits + 0x1000u) & 0xffffe000u;
}

Loaded load_transposed(const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    stop("a row of a matrix that is not aligned to 16 bytes");
  const void* const* rows = exchange(row);
  const unsigned lane = place().thread.x % 32, column = lane / 4, first = lane % 4 * 2;
  Loaded loaded{};
  for (unsigned m = 0; m < 4; ++m) {
    for (unsigned i = 0; i < 2; ++i) {
      uint16_t element = 0;
      std::memcpy(&element, static_cast<const std::byte*>(rows[8 * m + first + i]) + 2 * column, 2);
      loaded.word[m] |= static_cast<uint32_t>(element) << (16 * i);
    }
  }
  return loaded;
}

void mma(MmaKind kind, float (&c)[4], Left a, Right b) {
  const Given* all = exchange(decoded(kind, a, b));
  const unsigned lane = place().thread.x % 32, row = lane / 4 * 4, column = lane % 4 * 8;
  const Operand left[2] = {gathered(kind, all + row, 0, 2), gathered(kind, all + row, 1, 3)};
  const Operand right[2] = {gathered(kind, all + column, 4, 5),
                            gathered(kind, all + column + 4, 4, 5)};
  for (unsigned i = 0; i < 4; ++i)
    c[i] = fused_sum(tensor_core(), kind, left[i / 2], right[i % 2], c[i]);
}

}  // namespace vitrine::internal::cuda_on_host
