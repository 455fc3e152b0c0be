// SPDX-License-Identifier: MIT
// What the products with a weight and with its transpose share: how sums are cut, and the walk over
// a block of work.

#if defined(VITRINE_KERNELS_CPU_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_KERNELS_CPU_LINEAR_INL_H_
#undef VITRINE_KERNELS_CPU_LINEAR_INL_H_
#else
#define VITRINE_KERNELS_CPU_LINEAR_INL_H_
#endif

#include <algorithm>

#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// The inputs are summed in blocks of equal depth, each in a chain of its own, and the blocks' sums
// are added up. One chain over all inputs of GPT-2 small has 1.0 to 1.3e-6 of the residual stream's
// spread as its error, blocks of 320 0.4 to 0.6e-6, which is what transformers has. The cuts follow
// from the number of inputs alone, so every path makes the same ones.
constexpr int64_t kMaxDepth =
    320;  // 20 KB of a panel as float32 in the first cache, beside a tile of x

constexpr Start block_start(int64_t begin) { return begin == 0 ? Start::kFresh : Start::kAddTo; }

// Blocks begin at multiples of `unit`.
HWY_INLINE LinearBlocking blocking_of(int64_t rows, int64_t in, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(in, kMaxDepth));
  const int64_t depth = std::max<int64_t>(ceil_div(in, blocks), 1);
  return {kTileRows, ceil_div(depth, unit) * unit, ceil_div(rows, kTileRows)};
}

// Sums of a block of outputs over all `in` inputs, of `rows` rows in all. weights(b, p, depth)
// gives depth block b of the block's panel p as float32; fetch(b, p, part, parts) may ask for a
// part of what weights() will read next, (b, p) being the present one.
template <class Weights, class Fetch>
HWY_INLINE void block_sums(int64_t rows, int64_t in, const LinearBlocking& blocking,
                           const float* packed_x, const LinearBlock& block, float* sums,
                           const Weights& weights, const Fetch& fetch) {
  const int64_t panels = block.panel_end - block.panel_begin, stride = panels * kPanel,
                tiles = block.tile_end - block.tile_begin;
  for (int64_t b = 0; b < blocking.blocks(in); ++b) {
    const int64_t begin = b * blocking.depth, depth = std::min(blocking.depth, in - begin);
    for (int64_t p = 0; p < panels; ++p) {
      const float* panel = weights(b, p, depth);
      for (int64_t t = block.tile_begin; t < block.tile_end; ++t) {
        fetch(b, p, t - block.tile_begin, tiles);
        const float* x = blocking.tile(packed_x, b, t);
        float* to = sums + (t - block.tile_begin) * kTileRows * stride + p * kPanel;
        const int64_t count = rows - t * kTileRows;
        if (count >= kTileRows) {
          walk_panels<kTileRows, 1, float, true>(x, kTileRows, panel, 0, depth, to, stride,
                                                 block_start(begin));
        } else {
          walk_tile<true>(count, x, kTileRows, panel, depth, to, stride, block_start(begin));
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#endif  // VITRINE_KERNELS_CPU_LINEAR_INL_H_
