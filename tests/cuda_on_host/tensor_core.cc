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

/// Every lane's sums of one instruction, from the words of all.
void multiply(MmaKind kind, Given (&lanes)[32]) {
  Row rows[16];
  Columns columns;
  const int in_word = kind == MmaKind::kTf32 ? 1 : 2;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4;
    for (int half = 0; half < in_word; ++half) {
      const int k = lane % 4 * in_word + half, second = 4 * in_word;
      for (int w = 0; w < 4; ++w)
        rows[group + w % 2 * 8].set(k + w / 2 * second,
                                    element(kind, lanes[lane].a.word[w] >> 16 * half));
      for (int w = 0; w < 2; ++w)
        columns.set(k + w * second, group, element(kind, lanes[lane].b.word[w] >> 16 * half));
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
