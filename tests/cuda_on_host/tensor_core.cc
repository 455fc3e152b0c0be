// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/float_bits.h"
#include "tests/cuda_on_host/block_runner.h"
#include "tests/cuda_on_host/fused_sum.h"

// The matrix instructions; fused_sum.h says how they add.

namespace vitrine::internal::cuda_on_host {
namespace {

/// What a lane puts in, and gets back in `c`.
struct Given {
  Left a;
  Right b;
  float c[4];
  bool done = false;  ///< the whole instruction, in the first lane
};

/// The bits of a word's numbers that are 0 in a zero, and those that are 1 in what is not finite.
struct Bits {
  uint32_t size, exponents[2];
};
constexpr Bits bits_of(MmaKind kind) {
  switch (kind) {
    case MmaKind::kF16:
      return {0x7fff7fff, {0x7c00, 0x7c000000}};
    case MmaKind::kBf16:
      return {0x7fff7fff, {0x7f80, 0x7f800000}};
    default:  // of a TF32 the lowest 13 bits are not looked at
      return {0x7fffe000, {0x7f800000, 0x7f800000}};
  }
}

/// Whether one operand is all zeros and the other finite, as where tiles are larger than matrices.
bool multiplies_zeros(MmaKind kind, const Given (&lanes)[32]) {
  const Bits bits = bits_of(kind);
  uint32_t left = 0, right = 0;
  bool finite = true;
  const auto look = [&](uint32_t word, uint32_t& all) {
    all |= word & bits.size;
    for (const uint32_t exponent : bits.exponents) finite &= (word & exponent) != exponent;
  };
  for (const Given& lane : lanes) {
    for (const uint32_t word : lane.a.word) look(word, left);
    for (const uint32_t word : lane.b.word) look(word, right);
  }
  return finite && (left == 0 || right == 0);
}

/// Every lane's sums of one instruction, from the words of all.
void multiply(MmaKind kind, Given (&lanes)[32]) {
  if (multiplies_zeros(kind, lanes)) {
    for (Given& lane : lanes) std::transform(lane.c, lane.c + 4, lane.c, without_products);
    return;
  }
  Row rows[16];
  Columns columns;
  const int in_word = kind == MmaKind::kTf32 ? 1 : 2, second = 4 * in_word;
  // Calls set(i, element) for the numbers of a word; zeros are there already.
  const auto each = [&, size = bits_of(kind).size](uint32_t word, const auto& set) {
    if ((word & size) == 0) return;
    for (int half = 0; half < in_word; ++half) set(half, element(kind, word >> 16 * half));
  };
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, k = lane % 4 * in_word;
    for (int w = 0; w < 4; ++w) {
      Row& row = rows[group + w % 2 * 8];
      each(lanes[lane].a.word[w], [&](int i, Element e) { row.set(k + w / 2 * second + i, e); });
    }
    for (int w = 0; w < 2; ++w) {
      each(lanes[lane].b.word[w],
           [&](int i, Element e) { columns.set(k + w * second + i, group, e); });
    }
  }
  for (int r = 0; r < 16; ++r) {
    Given* of_row = lanes + r % 8 * 4;
    float sums[8];
    for (int j = 0; j < 8; ++j) sums[j] = of_row[j / 2].c[r / 8 * 2 + j % 2];
    fused_sums(tensor_core(), kind, rows[r], columns, sums);
    for (int j = 0; j < 8; ++j) of_row[j / 2].c[r / 8 * 2 + j % 2] = sums[j];
  }
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
  auto& lanes = *reinterpret_cast<Given(*)[32]>(exchange(Given{a, b, {c[0], c[1], c[2], c[3]}}));
  if (!std::exchange(lanes[0].done, true)) multiply(kind, lanes);
  std::copy_n(lanes[place().thread.x % 32].c, 4, c);
}

}  // namespace vitrine::internal::cuda_on_host
