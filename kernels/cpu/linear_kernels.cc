// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_kernels.cc"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "kernels/cpu/linear-inl.h"
#include "kernels/cpu/linear_finish.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// What follows the sums: y = sums * scale + bias, each rounded; before = y; y = act(y) + residual,
// for rows of one panel's columns.
template <class Activate>
HWY_INLINE void finish_vectors(const LinearArgs& args, int64_t row, int64_t column, int64_t count,
                               const float* sums, const Activate& activate) {
  const float* scale = args.weight->scales == nullptr ? nullptr : args.weight->scales + column;
  const float* bias = args.bias == nullptr ? nullptr : args.bias + column;
  float* before = args.before ? args.before.row(row) + column : nullptr;
  const float* residual = args.residual ? args.residual.row(row) + column : nullptr;
  float* out = args.out.row(row) + column;
  for_each_vector(count, [&](const auto& load_at, const auto& store_at) HWY_ATTR {
    Vector y = load_at(sums);
    if (scale != nullptr) y = hn::Mul(y, load_at(scale));
    if (bias != nullptr) y = hn::Add(y, load_at(bias));
    if (before != nullptr) store_at(y, before);
    y = activate(y);
    if (residual != nullptr) y = hn::Add(y, load_at(residual));
    store_at(y, out);
  });
}

// `rows` rows from `row` on, `panels` panels from `panel` on. Rows of sums lie `sums_stride` apart.
void finish(const LinearArgs& args, int64_t row, int64_t rows, int64_t panel, int64_t panels,
            const float* sums, int64_t sums_stride) {
  with_activation(args.activation, [&](const auto& activate) HWY_ATTR {
    const int64_t column = panel * kPanel,
                  count = std::min(panels * kPanel, args.weight->out - column);
    for (int64_t r = 0; r < rows; ++r)
      finish_vectors(args, row + r, column, count, sums + r * sums_stride, activate);
  });
}

LinearBlocking blocking_for(int64_t rows, int64_t in) { return blocking_of(rows, in, 1); }

// --- few rows

// Fetched this far ahead, the memory's latency is hidden; measured on one DDR4 machine, flat
// between 1 and 4 KB.
constexpr int64_t kAhead = 2048;

// Where a block of a panel lies as float32: in place, or widened into `buffer`, asking for what
// lies `kFetch` bytes on.
template <int64_t kFetch = 0, class W>
HWY_INLINE const float* widened(const W* w, int64_t depth, float* buffer) {
  if constexpr (std::is_same_v<W, float>) {
    return w;
  } else {
    for (int64_t i = 0; i < depth * kPanel; i += kPanel) {
      if constexpr (kFetch != 0) hwy::Prefetch(reinterpret_cast<const std::byte*>(w + i) + kFetch);
      for (int64_t v = 0; v < kPanel; v += kLanes) store(load(w + i + v), buffer + i + v);
    }
    return buffer;
  }
}

template <int kRows, int kPanels, class W>
HWY_NOINLINE void few_rows(const LinearArgs& args, int64_t panel, int64_t end) {
  const PackedMatrix& w = *args.weight;
  const int64_t stride = w.panel_stride / static_cast<int64_t>(sizeof(W)),
                depth = blocking_for(kRows, w.in).depth;
  HWY_ALIGN float sums[kRows * kPanels * kPanel];
  for (; panel + kPanels <= end; panel += kPanels) {
    const W* at = reinterpret_cast<const W*>(w.data + panel * w.panel_stride);
    for (int64_t begin = 0; begin < w.in; begin += depth) {
      walk_panels<kRows, kPanels>(args.x.f32() + begin, args.x.stride, at + begin * kPanel, stride,
                                  std::min(depth, w.in - begin), sums, kPanels * kPanel,
                                  block_start(begin), kAhead);
    }
    finish(args, 0, kRows, panel, kPanels, sums, kPanels * kPanel);
  }
  if constexpr (kPanels > 1) few_rows<kRows, 1, W>(args, panel, end);
}

// More rows than a tile has: a panel is widened and walked block by block, each block by all tiles
// while it is in the cache.
template <class W>
HWY_NOINLINE void some_rows(const LinearArgs& args, int64_t panel, int64_t end) {
  const PackedMatrix& w = *args.weight;
  const LinearBlocking blocking = blocking_for(args.x.rows, w.in);
  HWY_ALIGN float sums[kFewRows * kPanel];
  HWY_ALIGN float wide[kMaxDepth * kPanel];
  for (; panel < end; ++panel) {
    const W* at = reinterpret_cast<const W*>(w.data + panel * w.panel_stride);
    for (int64_t begin = 0; begin < w.in; begin += blocking.depth) {
      const int64_t depth = std::min(blocking.depth, w.in - begin);
      const float* weights = widened<kAhead>(at + begin * kPanel, depth, wide);
      // The next block, or the next panel's first, follows in memory: each tile asks for a part of
      // it, lest memory wait for arithmetic.
      const auto* next = reinterpret_cast<const std::byte*>(at + (begin + depth) * kPanel);
      const int64_t step = kPanel * static_cast<int64_t>(sizeof(W)) / blocking.tiles;
      for (int64_t t = 0; t < blocking.tiles;
           ++t) {  // of equal height: a tile of one or two rows has too few chains
        const int64_t row = args.x.rows * t / blocking.tiles,
                      rows = args.x.rows * (t + 1) / blocking.tiles - row;
        walk_tile<false, true>(rows, args.x.row(row) + begin, args.x.stride, weights, depth,
                               sums + row * kPanel, kPanel, block_start(begin),
                               {next + t * depth * step, step});
      }
    }
    finish(args, 0, args.x.rows, panel, 1, sums, kPanel);
  }
}

template <class W>
HWY_INLINE void few_rows_of_type(const LinearArgs& args, int64_t begin, int64_t end) {
  // One panel has too few independent chains to hide the latency of an addition; rows bring their
  // own.
  switch (args.x.rows) {
    case 1:
      return few_rows<1, 4, W>(args, begin, end);
    case 2:
      return few_rows<2, 2, W>(args, begin, end);
    case 3:
      return few_rows<3, 2, W>(args, begin, end);
    case 4:
      return few_rows<4, 1, W>(args, begin, end);
    case 5:
      return few_rows<5, 1, W>(args, begin, end);
    case 6:
      return few_rows<6, 1, W>(args, begin, end);
    default:
      return some_rows<W>(args, begin, end);
  }
}

void few_rows_any_type(const LinearArgs& args, int64_t begin, int64_t end) {
  with_weight_type(args.weight->dtype,
                   [&](auto type) HWY_ATTR { few_rows_of_type<decltype(type)>(args, begin, end); });
}

// --- many rows

// Asks for part `index` of `parts` of the weights that come next, while the present ones are worked
// on.
HWY_INLINE void fetch_part(const std::byte* next, int64_t bytes, int64_t index, int64_t parts) {
  for (int64_t at = bytes * index / parts; at < bytes * (index + 1) / parts; at += 64)
    __builtin_prefetch(next + at, 0, 2);
}

template <class W>
HWY_INLINE void block_of_type(const LinearArgs& args, const LinearBlocking& blocking,
                              const float* packed_x, const LinearBlock& block, float* sums,
                              float* buffer) {
  const PackedMatrix& w = *args.weight;
  const int64_t panels = block.panel_end - block.panel_begin;
  const auto weights_at = [&](int64_t b, int64_t p) {
    return reinterpret_cast<const W*>(w.data + (block.panel_begin + p) * w.panel_stride) +
           b * blocking.depth * kPanel;
  };
  const auto fetch = [&](int64_t b, int64_t p, int64_t part, int64_t parts) HWY_ATTR {
    const W* next = p + 1 < panels ? weights_at(b, p + 1) : weights_at(b + 1, 0);
    fetch_part(reinterpret_cast<const std::byte*>(next),
               blocking.depth * kPanel * static_cast<int64_t>(sizeof(W)), part, parts);
  };
  block_sums(
      args.x.rows, w.in, blocking, packed_x, block, sums,
      [&](int64_t b, int64_t p, int64_t depth)
          HWY_ATTR { return widened(weights_at(b, p), depth, buffer); },
      fetch);
}

void block_any_type(const LinearArgs& args, const LinearBlocking& blocking, const float* packed_x,
                    const LinearBlock& block, float* scratch) {
  float* sums = scratch + blocking.depth * kPanel;
  with_weight_type(args.weight->dtype, [&](auto type) HWY_ATTR {
    block_of_type<decltype(type)>(args, blocking, packed_x, block, sums, scratch);
  });
  const int64_t panels = block.panel_end - block.panel_begin;
  const int64_t row = block.tile_begin * kTileRows;
  const int64_t rows = std::min((block.tile_end - block.tile_begin) * kTileRows, args.x.rows - row);
  finish(args, row, rows, block.panel_begin, panels, sums, panels * kPanel);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(few_rows_any_type);
HWY_EXPORT(blocking_for);
HWY_EXPORT(block_any_type);
HWY_EXPORT(finish);

void linear_few_rows(const LinearArgs& args, int64_t panel_begin, int64_t panel_end) {
  HWY_DYNAMIC_DISPATCH(few_rows_any_type)(args, panel_begin, panel_end);
}

LinearBlocking linear_blocking(int64_t rows, int64_t in) {
  return HWY_DYNAMIC_DISPATCH(blocking_for)(rows, in);
}

int64_t linear_block_scratch(const LinearBlocking& blocking, const LinearBlock& block) {
  const int64_t panels = block.panel_end - block.panel_begin,
                rows = (block.tile_end - block.tile_begin) * blocking.tile_rows;
  return PackedMatrix::kPanel * (blocking.depth + panels * rows);
}

void linear_block(const LinearArgs& args, const LinearBlocking& blocking, const float* packed_x,
                  const LinearBlock& block, float* scratch) {
  HWY_DYNAMIC_DISPATCH(block_any_type)(args, blocking, packed_x, block, scratch);
}

void linear_finish(const LinearArgs& args, int64_t rows, int64_t panels, const float* sums,
                   int64_t sums_stride) {
  HWY_DYNAMIC_DISPATCH(finish)(args, 0, rows, 0, panels, sums, sums_stride);
}

}  // namespace vitrine::internal::cpu
#endif
