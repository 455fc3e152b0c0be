// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "base/ceil_div.h"
#include "kernels/backend/backward.h"

// The parts of `linear` that are written in vectors, each chosen at run time for the processor.

namespace vitrine::internal::cpu {

/// Up to this many rows, `linear_few_rows` needs no copy of x.
inline constexpr int64_t kFewRows = 48;

/// The panels [begin, end) of y for at most kFewRows rows, each weight read once and in order: the
/// fewer, the more limited by memory.
void linear_few_rows(const LinearArgs& args, int64_t panel_begin, int64_t panel_end);

/// Rows of a tile are 1, 3, 6 or this many, by the width of the processor's vectors.
inline constexpr int kMaxTileRows = 12;

/// How `linear_block` walks: x lies repacked as [depth block][row tile][block depth][tile_rows].
struct LinearBlocking {
  int64_t tile_rows = 0;  ///< rows of a tile
  int64_t depth = 0;      ///< inputs of a depth block; the last one may have fewer
  int64_t tiles = 0;      ///< tiles of the repacked rows

  int64_t blocks(int64_t in) const { return ceil_div(in, depth); }
  int64_t packed_floats(int64_t in) const { return blocks(in) * tiles * tile_rows * depth; }
  const float* tile(const float* packed, int64_t block, int64_t index) const {
    return packed + (block * tiles + index) * tile_rows * depth;
  }
};

LinearBlocking linear_blocking(int64_t rows, int64_t in);

/// A rectangle of y: the tiles [tile_begin, tile_end) of the repacked rows, the panels
/// [panel_begin, panel_end).
struct LinearBlock {
  int64_t tile_begin = 0, tile_end = 0;
  int64_t panel_begin = 0, panel_end = 0;
};

/// Floats of scratch that a block needs.
int64_t linear_block_scratch(const LinearBlocking& blocking, const LinearBlock& block);
void linear_block(const LinearArgs& args, const LinearBlocking& blocking, const float* packed_x,
                  const LinearBlock& block, float* scratch);

}  // namespace vitrine::internal::cpu
