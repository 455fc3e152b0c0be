// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/float_bits.h"
#include "kernels/cpu/bf16_dots.h"
#include "kernels/cpu/bf16_tiles.h"

// vdpbf16ps and the tiles of AMX on any processor, by the operations that Intel's manual states:
// float32 fused multiply-adds, rounded to nearest even, numbers below 2^-126 taken for and made 0.

namespace vitrine::testing {

/// 0 of the same sign for what is below the normal numbers.
inline float flushed(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

inline float fused(float sum, uint16_t a, uint16_t b) {
  return flushed(
      std::fma(flushed(internal::bf16_to_f32(a)), flushed(internal::bf16_to_f32(b)), flushed(sum)));
}

struct EmulatedDots {
  using Sums = std::array<float, 16>;
  static Sums zero() { return {}; }
  static Sums load(const float* from) {
    Sums sums;
    std::memcpy(sums.data(), from, sizeof sums);
    return sums;
  }
  static void store(const Sums& sums, float* to) { std::memcpy(to, sums.data(), sizeof sums); }
  static Sums add(Sums a, const Sums& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }
  static Sums dot(Sums sums, const uint32_t* weights, const uint32_t* x) {
    for (size_t i = 0; i < sums.size(); ++i) {
      for (const int shift : {16, 0}) {
        sums[i] = fused(sums[i], static_cast<uint16_t>(*x >> shift),
                        static_cast<uint16_t>(weights[i] >> shift));
      }
    }
    return sums;
  }
};

/// Tiles hold NaNs until they are configured, and after they are released.
class EmulatedTiles {
 public:
  void configure() { configured_ = true; }
  void release() { *this = EmulatedTiles(); }

  template <int kTile>
  void load(const void* from, int64_t stride) {
    for (size_t r = 0; r < kRows; ++r)
      std::memcpy(tiles_[kTile][r].data(),
                  static_cast<const char*>(from) + static_cast<int64_t>(r) * stride, kLine);
    if (!configured_) *this = EmulatedTiles();
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    for (size_t r = 0; r < kRows; ++r)
      std::memcpy(static_cast<char*>(to) + static_cast<int64_t>(r) * stride,
                  tiles_[kTile][r].data(), kLine);
  }
  /// TDPBF16PS: chains of a pair's low and of its high numbers from 0, added, added to the sum.
  template <int kSums, int kX, int kWeights>
  void multiply() {
    for (size_t m = 0; m < kRows; ++m) {
      for (size_t n = 0; n < kLine / 4; ++n) {
        float low = 0.0f, high = 0.0f;
        for (size_t k = 0; k < kLine / 4; ++k) {
          low = fused(low, number(kX, m, 2 * k), number(kWeights, k, 2 * n));
          high = fused(high, number(kX, m, 2 * k + 1), number(kWeights, k, 2 * n + 1));
        }
        float sum;
        std::memcpy(&sum, &tiles_[kSums][m][4 * n], 4);
        sum = flushed(flushed(sum) + flushed(low + high));
        std::memcpy(&tiles_[kSums][m][4 * n], &sum, 4);
      }
    }
  }

 private:
  static constexpr size_t kRows = 16, kLine = 64;

  uint16_t number(int tile, size_t row, size_t column) const {
    uint16_t bits;
    std::memcpy(&bits, &tiles_[static_cast<size_t>(tile)][row][2 * column], 2);
    return bits;
  }

  using Tile = std::array<std::array<uint8_t, kLine>, kRows>;
  bool configured_ = false;
  std::array<Tile, 8> tiles_ = [] {
    std::array<Tile, 8> tiles;
    std::memset(&tiles, 0xff, sizeof tiles);
    return tiles;
  }();
};

inline constexpr internal::cpu::Bf16Unit kEmulatedDots = {
    "emulated vdpbf16ps", internal::cpu::multiply_by_dots<EmulatedDots>,
    internal::cpu::kAlternating};
inline constexpr internal::cpu::Bf16Unit kEmulatedTiles = {
    "emulated tdpbf16ps", internal::cpu::multiply_by_tiles<EmulatedTiles>,
    internal::cpu::kNeighbours};

}  // namespace vitrine::testing
