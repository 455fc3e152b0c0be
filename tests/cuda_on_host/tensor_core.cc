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

struct Given {
  Left a;
  Right b;
};

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
  const Given* all = exchange(Given{a, b});
  const unsigned lane = place().thread.x % 32, group = lane / 4, quad = lane % 4;
  // The instruction's own order along K: the lanes' first words, then their second ones.
  const size_t in_word = kind == MmaKind::kTf32 ? 1 : 2, count = 8 * in_word;
  Element left[2][16], right[2][16];
  for (unsigned i = 0; i < 2; ++i) {
    for (unsigned k = 0; k < count; ++k) {
      const size_t q = k / in_word % 4, second = k / in_word / 4;
      const unsigned shift = static_cast<unsigned>(k % in_word) * 16;
      left[i][k] = element(kind, all[group * 4 + q].a.word[2 * second + i] >> shift);
      right[i][k] = element(kind, all[(2 * quad + i) * 4 + q].b.word[second] >> shift);
    }
  }
  for (unsigned i = 0; i < 4; ++i) {
    c[i] = fused_sum(tensor_core(), kind, std::span(left[i / 2]).first(count),
                     std::span(right[i % 2]).first(count), c[i]);
  }
}

}  // namespace vitrine::internal::cuda_on_host
