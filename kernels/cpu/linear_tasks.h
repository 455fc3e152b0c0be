// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>

#include "base/ceil_div.h"
#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/parallel.h"

// How a product of many rows is cut into tasks, and x copied so that each task reads its part of it
// in a row.

namespace vitrine::internal::cpu {

inline constexpr int64_t kBlockPanels =
    4;  ///< of a task: the rows of x in the second cache are used for 64 outputs
inline constexpr int64_t kBlockRows =
    264;  ///< of a task: with a depth block, what the second cache holds beside the weights
inline constexpr int64_t kBlockGrain = 1 << 18;  ///< multiplications that are worth waking a thread
inline constexpr int64_t kRepackedRows = 1024;   ///< at once, to bound the copy of x

/// to[k][i] = rows[i][k].
template <int kRows>
void interleave(const std::array<const float*, kMaxTileRows>& rows, int64_t depth,
                float* __restrict to) {
  for (int64_t k = 0; k < depth; ++k, to += kRows) {
    for (int i = 0; i < kRows; ++i) to[i] = rows[i][k];
  }
}

/// Copies the rows of one tile, block by block of depth, input by input: a walk then reads one
/// stream instead of one short stream per row, which the prefetcher would miss. Rows after the last
/// repeat it; no walk reads them.
inline void repack_tile(Mat x, const LinearBlocking& blocking, int64_t tile, float* packed) {
  std::array<const float*, kMaxTileRows> rows{};
  for (int64_t b = 0; b < blocking.blocks(x.cols); ++b) {
    const int64_t begin = b * blocking.depth, depth = std::min(blocking.depth, x.cols - begin);
    for (int64_t i = 0; i < blocking.tile_rows; ++i)
      rows[i] = x.row(std::min(tile * blocking.tile_rows + i, x.rows - 1)) + begin;
    float* to = packed + (b * blocking.tiles + tile) * blocking.tile_rows * blocking.depth;
    switch (blocking.tile_rows) {
      case 1:
        interleave<1>(rows, depth, to);
        break;
      case 3:
        interleave<3>(rows, depth, to);
        break;
      case 6:
        interleave<6>(rows, depth, to);
        break;
      default:
        interleave<kMaxTileRows>(rows, depth, to);
    }
  }
}

/// Tiles of a task: few enough for every thread to have several tasks, all of about one size.
inline int64_t tiles_a_task(const LinearBlocking& blocking, int64_t panel_groups, int threads) {
  const int64_t most = std::max<int64_t>(1, kBlockRows / blocking.tile_rows);
  const int64_t groups =
      std::max(ceil_div(blocking.tiles, most), ceil_div(4 * threads, panel_groups));
  return ceil_div(blocking.tiles, std::min(groups, blocking.tiles));
}

/// f(begin, count) for parts of the rows, of equal size, that are repacked one after the other.
template <class F>
void for_each_part(int64_t rows, const F& f) {
  const int64_t parts = ceil_div(rows, kRepackedRows);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = rows * part / parts;
    f(begin, rows * (part + 1) / parts - begin);
  }
}

/// f(x repacked, block, scratch of linear_block_scratch() floats) for all blocks of the product of
/// x with `outputs` outputs.
template <class F>
void for_each_block(Mat x, int64_t outputs, const LinearBlocking& blocking, int threads,
                    ScratchPool& scratch, const F& f) {
  const int64_t panels = ceil_div(outputs, PackedMatrix::kPanel),
                panel_groups = ceil_div(panels, kBlockPanels);
  threads = worthwhile(threads, x.rows * x.cols * outputs / kBlockGrain);
  const int64_t tiles = tiles_a_task(blocking, panel_groups, threads);
  const int64_t each = linear_block_scratch(blocking, {0, tiles, 0, kBlockPanels});
  const auto lease =
      scratch.borrow(static_cast<size_t>(blocking.packed_floats(x.cols) + threads * each));
  float* packed = lease.f32();
  float* rest = packed + blocking.packed_floats(x.cols);
  parallel_chunks(threads, blocking.tiles, 8, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) repack_tile(x, blocking, tile, packed);
  });
  parallel_for(threads, panel_groups * ceil_div(blocking.tiles, tiles),
               [&](int64_t task, int worker) {
                 const int64_t tile = task / panel_groups * tiles,
                               panel = task % panel_groups * kBlockPanels;
                 const LinearBlock block{tile, std::min(tile + tiles, blocking.tiles), panel,
                                         std::min(panel + kBlockPanels, panels)};
                 f(packed, block, rest + worker * each);
               });
}

}  // namespace vitrine::internal::cpu
