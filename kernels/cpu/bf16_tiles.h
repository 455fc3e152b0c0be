// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cpu/bf16_product.h"

// The product by instructions on tiles of 16 rows of 64 bytes (AMX). `Tiles` are eight of them:
//
//   void configure(), release();                        all with 16 rows of 64 bytes
//   template <int tile> void load(const void*, int64_t stride);     stride in bytes
//   template <int tile> void store(void*, int64_t stride);
//   template <int sums, int x, int weights> void multiply();        tdpbf16ps
//
// One row takes the same tiles as sixteen, filled up with zeros: whatever order the instruction
// sums in, a row's bits are the same alone and among others.

namespace vitrine::internal::cpu {

/// 16 rows, or 32.
template <bool kMore, class Tiles>
void multiply_tiles(Tiles& tiles, const Bf16Product& product, const uint16_t* x, float* sums) {
  constexpr int64_t kPanel = PackedMatrix::kPanel, kLine = 64, kSumsLine = 2 * kLine;
  float* more_sums = sums + kChunkRows * 2 * kPanel;
  tiles.template load<0>(sums, kSumsLine);
  tiles.template load<1>(sums + kPanel, kSumsLine);
  if constexpr (kMore) {
    tiles.template load<2>(more_sums, kSumsLine);
    tiles.template load<3>(more_sums + kPanel, kSumsLine);
  }
  const uint16_t* weights = product.weights;
  for (int64_t chunk = 0; chunk < product.chunks; ++chunk) {
    tiles.template load<4>(x, kLine);
    tiles.template load<6>(weights, kLine);
    tiles.template load<7>(weights + kChunkNumbers, kLine);
    tiles.template multiply<0, 4, 6>();
    tiles.template multiply<1, 4, 7>();
    if constexpr (kMore) {
      tiles.template load<5>(x + product.tile_stride, kLine);
      tiles.template multiply<2, 5, 6>();
      tiles.template multiply<3, 5, 7>();
    }
    x += kChunkNumbers;
    weights += 2 * kChunkNumbers;
  }
  tiles.template store<0>(sums, kSumsLine);
  tiles.template store<1>(sums + kPanel, kSumsLine);
  if constexpr (kMore) {
    tiles.template store<2>(more_sums, kSumsLine);
    tiles.template store<3>(more_sums + kPanel, kSumsLine);
  }
}

template <class Tiles>
void multiply_by_tiles(const Bf16Product& product) {
  Tiles tiles;
  tiles.configure();
  for (int64_t first = 0; first < product.rows; first += 2 * kChunkRows) {
    const uint16_t* x = product.x + first / kChunkRows * product.tile_stride;
    float* sums = product.sums + first * 2 * PackedMatrix::kPanel;
    if (product.rows - first > kChunkRows)
      multiply_tiles<true>(tiles, product, x, sums);
    else
      multiply_tiles<false>(tiles, product, x, sums);
  }
  tiles.release();
}

}  // namespace vitrine::internal::cpu
