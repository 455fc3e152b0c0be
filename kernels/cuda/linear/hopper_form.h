// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <utility>

// Into which tiles the Hopper kernel cuts a product, and which blocks share what they read. All
// forms give the same bits, so the choice is one of speed alone.

namespace vitrine::internal::cuda {

inline constexpr int kHopperRows = 128;  ///< of a tile
/// Of the same, in outputs: the kernel exists for each. Multiples of 16, so that halves are whole
/// groups of 8 rows of weights. Between 128 and 192 one of them often fills the last wave.
using HopperWidths = std::integer_sequence<int, 64, 128, 144, 160, 176, 192>;

struct HopperForm {
  int columns = 0;  ///< of a tile
  /// Tiles of a cluster of blocks: 1 x 1; 2 x 1, whose blocks share the weights that they read; or
  /// 1 x 2, whose blocks share the rows.
  int high = 1, wide = 1;

  int64_t down(int64_t rows) const;  ///< clusters' tiles that cover so much
  int64_t across(int64_t out) const;
  std::string name() const;  ///< "hopper 128x160, weights shared by 2"
};

/// The fastest for a product of this size by its model of time, on a GPU of `processors` SMs.
HopperForm hopper_form(int64_t rows, int64_t out, int processors);

}  // namespace vitrine::internal::cuda
