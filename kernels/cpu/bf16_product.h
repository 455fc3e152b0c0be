// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "kernels/backend/weights.h"

// Products of bfloat16 numbers, summed as Intel's tdpbf16ps sums them, whatever computes them. The
// inputs are taken in chunks of 32. In each, the products of even inputs are added one after the
// other from 0, those of odd ones likewise, the two sums are added, and the chunk's sum is added to
// the output. A product of two bfloat16 numbers is a float32 number, so whether the addition is
// fused does not matter; what a unit does below 2^-126 does: vdpbf16ps and tdpbf16ps take that for
// 0.

namespace vitrine::internal::cpu {

inline constexpr int64_t kChunk = 32;      ///< inputs
inline constexpr int64_t kChunkRows = 16;  ///< of x that lie together
/// Numbers of a chunk: of 16 rows of x, [16][32], or of a panel of weights, [16 pairs][16 outputs]
/// [2].
inline constexpr int64_t kChunkNumbers = kChunk * kChunkRows;
static_assert(PackedMatrix::kPanel == kChunkRows);

/// Rows of x, two panels of weights, some chunks.
struct Bf16Product {
  const uint16_t* x = nullptr;  ///< chunks of the first 16 rows; rows that are not there are 0
  int64_t tile_stride = 0;      ///< numbers from there to the same chunks of the next 16 rows
  int64_t rows = 0;             ///< at least 1
  const uint16_t* weights = nullptr;  ///< [chunks][2 panels] chunks
  int64_t chunks = 0;
  float* sums = nullptr;  ///< [rows rounded up to 16][32 outputs]: the products are added to them
};

/// What multiplies.
struct Bf16Unit {
  const char* name;  ///< for people
  void (*multiply)(const Bf16Product&);
  /// Which of a chunk's inputs is kept where, in x and in weights: those at 2 p and 2 p + 1 are
  /// pair p.
  std::array<uint8_t, kChunk> order;
};

/// Order of Bf16Unit for units that take pairs of neighbours.
inline constexpr std::array<uint8_t, kChunk> kNeighbours = [] {
  std::array<uint8_t, kChunk> order{};
  for (uint8_t i = 0; i < kChunk; ++i) order[i] = i;
  return order;
}();

/// Float32 multiply-adds of whatever vectors the processor has.
extern const Bf16Unit kPortableBf16;

/// The best of this processor, within cpu_unit().
const Bf16Unit& bf16_unit();

// --- numbers

/// Rounded to the nearest, to even at ties.
void narrow_row(const float* from, int64_t count, uint16_t* to);
void widen_row(const uint16_t* from, int64_t count, float* to);

/// The inputs [32 chunk, 32 chunk + 32) of a panel as pairs, zeros after the last; i8 without their
/// scale, which bfloat16 holds exactly.
void pair_weights(const PackedMatrix& weight, int64_t panel, int64_t chunk,
                  const std::array<uint8_t, kChunk>& order, uint16_t* to);

}  // namespace vitrine::internal::cpu
