// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <cstring>

#include "base/float_bits.h"
#include "tests/cuda_on_host/block_runner.h"

// The matrix instructions. NVIDIA does not say in which order a tensor core adds, only measurements
// do: products are exact, aligned to the largest, added and cut off. The sum here is exact and then
// cut off, once an instruction.

namespace vitrine::internal::cuda_on_host {
namespace {

struct Given {
  Left a;
  Right b;
};

double product(MmaKind kind, uint32_t a, uint32_t b) {
  if (kind == MmaKind::kTf32) {
    // The lowest 13 bits are not looked at.
    return static_cast<double>(std::bit_cast<float>(a & 0xffffe000u)) *
           static_cast<double>(std::bit_cast<float>(b & 0xffffe000u));
  }
  double sum = 0.0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto x = static_cast<uint16_t>(a >> shift), y = static_cast<uint16_t>(b >> shift);
    sum += kind == MmaKind::kF16
               ? static_cast<double>(f16_to_f32(x)) * static_cast<double>(f16_to_f32(y))
               : static_cast<double>(bf16_to_f32(x)) * static_cast<double>(bf16_to_f32(y));
  }
  return sum;
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
  const Given* all = exchange(Given{a, b});
  const unsigned lane = place().thread.x % 32, group = lane / 4, quad = lane % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned upper = i / 2, column = 2 * quad + i % 2;
    double sum = static_cast<double>(c[i]);
    for (unsigned q = 0; q < 4; ++q) {
      const Left& left = all[group * 4 + q].a;
      const Right& right = all[column * 4 + q].b;
      sum += product(kind, left.word[upper], right.word[0]) +
             product(kind, left.word[2 + upper], right.word[1]);
    }
    c[i] = cut_off(sum);
  }
}

}  // namespace vitrine::internal::cuda_on_host
