// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "kernels/cpu/bf16_product.h"

// The product by an instruction that adds the products of a pair of inputs to each of sixteen
// outputs, first the pair's high number, then its low one (vdpbf16ps). `Dots` is that instruction:
//
//   using Sums;                                             sixteen float32 sums
//   static Sums zero();
//   static Sums load(const float*);
//   static void store(Sums, float*);
//   static Sums add(Sums, Sums);
//   static Sums dot(Sums, const uint32_t* weights, const uint32_t* x);  sixteen pairs, one pair

namespace vitrine::internal::cpu {

/// Pairs of even inputs alternate with pairs of odd ones, the earlier of a pair is its high number:
/// so each chain meets its inputs in their order.
inline constexpr std::array<uint8_t, kChunk> kAlternating = [] {
  std::array<uint8_t, kChunk> order{};
  for (uint8_t i = 0; i < kChunk; i = static_cast<uint8_t>(i + 4)) {
    const uint8_t inputs[] = {2, 0, 3, 1};
    for (uint8_t j = 0; j < 4; ++j) order[i + j] = static_cast<uint8_t>(i + inputs[j]);
  }
  return order;
}();

template <class Dots, int kRows>
inline void add_dots(const uint32_t* x, const uint32_t* weights, float* sums) {
  constexpr int64_t kPanel = PackedMatrix::kPanel, kPairs = kChunk / 2;
  typename Dots::Sums chains[2][kRows][2];  // of even and odd inputs; of two panels
  for (auto& chain : chains) {
    for (auto& row : chain) row[0] = row[1] = Dots::zero();
  }
  for (int64_t pair = 0; pair < kPairs; pair += 2) {
    for (int64_t odd = 0; odd < 2; ++odd) {
      const uint32_t* at = weights + (pair + odd) * kPanel;
      for (int r = 0; r < kRows; ++r) {
        for (int p = 0; p < 2; ++p)
          chains[odd][r][p] =
              Dots::dot(chains[odd][r][p], at + p * kPairs * kPanel, x + r * kPairs + pair + odd);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < 2; ++p) {
      float* to = sums + (2 * r + p) * kPanel;
      Dots::store(Dots::add(Dots::load(to), Dots::add(chains[0][r][p], chains[1][r][p])), to);
    }
  }
}

template <class Dots, int kRows>
inline void add_dots_of_rows(int64_t rows, const uint32_t* x, const uint32_t* weights,
                             float* sums) {
  for (; rows >= kRows; rows -= kRows) {
    add_dots<Dots, kRows>(x, weights, sums);
    x += kRows * kChunk / 2;
    sums += kRows * 2 * PackedMatrix::kPanel;
  }
  if constexpr (kRows > 1) {
    if (rows > 0) add_dots_of_rows<Dots, kRows - 1>(rows, x, weights, sums);
  }
}

template <class Dots>
void multiply_by_dots(const Bf16Product& product) {
  const uint16_t* tile = product.x;
  for (int64_t first = 0; first < product.rows; first += kChunkRows, tile += product.tile_stride) {
    for (int64_t chunk = 0; chunk < product.chunks; ++chunk) {
      const uint16_t* x = tile + chunk * kChunkNumbers;
      const uint16_t* weights = product.weights + 2 * chunk * kChunkNumbers;
      add_dots_of_rows<Dots, 6>(std::min(kChunkRows, product.rows - first),
                                reinterpret_cast<const uint32_t*>(x),
                                reinterpret_cast<const uint32_t*>(weights),
                                product.sums + 2 * first * PackedMatrix::kPanel);
    }
  }
}

}  // namespace vitrine::internal::cpu
