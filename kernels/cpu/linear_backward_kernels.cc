// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear_backward_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_backward_kernels.cc"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "kernels/cpu/linear-inl.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// The transpose is never stored: its panels are made, a depth block at a time, in the first cache,
// and then walked like any other. Blocks begin where panels of the weight do.

LinearBlocking transposed_blocking(int64_t rows, int64_t out) {
  return blocking_of(rows, out, kPanel);
}

// Squares are turned in vectors of eight, two 4 x 4 squares at a time, or four, where that is what
// the processor has.
using Turned = hn::CappedTag<float, 8>;
constexpr int64_t kTurned = static_cast<int64_t>(hn::MaxLanes(Turned()));

#if HWY_TARGET != HWY_SCALAR
// Four rows of each 128-bit block become its four columns.
HWY_INLINE void turn_blocks(hn::Vec<Turned> (&v)[4]) {
  const Turned d;
  const hn::Repartition<uint64_t, Turned> pairs;
  const auto a = hn::BitCast(pairs, hn::InterleaveLower(d, v[0], v[1])),
             b = hn::BitCast(pairs, hn::InterleaveLower(d, v[2], v[3]));
  const auto c = hn::BitCast(pairs, hn::InterleaveUpper(d, v[0], v[1])),
             e = hn::BitCast(pairs, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, a, b));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, a, b));
  v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, c, e));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, c, e));
}
#endif

// [16][16] to its transpose.
HWY_INLINE void turn(const float* from, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t o = 0; o < kPanel; ++o) {
    for (int64_t i = 0; i < kPanel; ++i) to[o * kPanel + i] = from[i * kPanel + o];
  }
#else
  const Turned d;
  for (int64_t o = 0; o < kPanel; o += kTurned) {
    for (int64_t i = 0; i < kPanel; i += kTurned) {
      hn::Vec<Turned> first[4],
          second[4];  // inputs i .. i + 3, and the next four where a vector holds eight
      for (int64_t r = 0; r < 4; ++r) first[r] = hn::LoadU(d, from + (i + r) * kPanel + o);
      turn_blocks(first);
      if constexpr (kTurned == 8) {
        for (int64_t r = 0; r < 4; ++r) second[r] = hn::LoadU(d, from + (i + 4 + r) * kPanel + o);
        turn_blocks(second);
        for (int64_t r = 0; r < 4; ++r) {
          hn::StoreU(hn::ConcatLowerLower(d, second[r], first[r]), d, to + (o + r) * kPanel + i);
          hn::StoreU(hn::ConcatUpperUpper(d, second[r], first[r]), d,
                     to + (o + 4 + r) * kPanel + i);
        }
      } else {
        for (int64_t r = 0; r < 4; ++r) hn::StoreU(first[r], d, to + (o + r) * kPanel + i);
      }
    }
  }
#endif
}

// The weights of a vector of outputs whose scales, if there are any, begin at `scales`.
template <class W>
HWY_INLINE Vector scaled(const W* from, const float* scales) {
  if constexpr (std::is_same_v<W, int8_t>) {
    return hn::Mul(load(from), load(scales));
  } else {
    return load(from);
  }
}

// Sixteen outputs of sixteen inputs, [input][output] from a panel of the weight, to
// [output][input]. Inputs from `inputs` on are not there; their columns get zeros.
template <class W>
HWY_INLINE void turn_square(const W* from, const float* scales, int64_t inputs, float* to) {
  if constexpr (std::is_same_v<W, float>) {
    if (inputs == kPanel) return turn(from, to);
  }
  HWY_ALIGN float square[kPanel * kPanel];
  for (int64_t i = 0; i < kPanel; ++i) {
    for (int64_t c = 0; c < kPanel; c += kLanes)
      store(i < inputs ? scaled(from + i * kPanel + c, scales == nullptr ? nullptr : scales + c)
                       : hn::Zero(F32()),
            square + i * kPanel + c);
  }
  turn(square, to);
}

// Panel `panel` of the transposed weight, outputs [begin, begin + depth) of the weight as its
// inputs.
template <class W>
HWY_INLINE const float* turned(const PackedMatrix& w, int64_t panel, int64_t begin, int64_t depth,
                               float* buffer) {
  const int64_t inputs = std::min(kPanel, w.in - panel * kPanel);
  for (int64_t o = 0; o < depth; o += kPanel) {
    const std::byte* at =
        w.data + (begin + o) / kPanel * w.panel_stride + panel * kPanel * w.input_stride;
    const float* scales = w.scales == nullptr ? nullptr : w.scales + begin + o;
    turn_square(reinterpret_cast<const W*>(at), scales, inputs, buffer + o * kPanel);
  }
  return buffer;
}

// Asks for part `part` of `parts` of what turned() will read of outputs [begin, end): a square of
// each of the weight's panels.
HWY_INLINE void fetch_squares(const PackedMatrix& w, int64_t panel, int64_t begin, int64_t end,
                              int64_t part, int64_t parts) {
  const int64_t squares = ceil_div(end - begin, kPanel), bytes = kPanel * w.input_stride;
  for (int64_t s = squares * part / parts; s < squares * (part + 1) / parts; ++s) {
    const std::byte* at = w.data + (begin / kPanel + s) * w.panel_stride + panel * bytes;
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(at + line, 0, 2);
  }
}

// What follows the sums: product = sums; dx = sums * act'(before) + residual, for rows of one
// block's columns.
template <class Derivative>
HWY_INLINE void finish_row(const LinearBackwardArgs& args, int64_t row, int64_t column,
                           int64_t count, const float* sums, const Derivative& slope_at) {
  float* product = args.product ? args.product.row(row) + column : nullptr;
  const float* before = args.before ? args.before.row(row) + column : nullptr;
  const float* residual = args.residual ? args.residual.row(row) + column : nullptr;
  float* dx = args.dx.row(row) + column;
  for_each_vector(count, [&](const auto& load_at, const auto& store_at) HWY_ATTR {
    Vector y = load_at(sums);
    if (product != nullptr) store_at(y, product);
    if (before != nullptr) y = hn::Mul(y, slope_at(load_at(before)));
    if (residual != nullptr) y = hn::Add(y, load_at(residual));
    store_at(y, dx);
  });
}

void backward_block(const LinearBackwardArgs& args, const LinearBlocking& blocking,
                    const float* packed_dy, const LinearBlock& block, float* scratch) {
  const PackedMatrix& w = *args.weight;
  float* sums = scratch + blocking.depth * kPanel;
  const int64_t panels = block.panel_end - block.panel_begin;
  with_weight_type(w.dtype, [&](auto type) HWY_ATTR {
    const auto fetch = [&](int64_t b, int64_t p, int64_t part, int64_t parts) HWY_ATTR {
      if (parts == 1) return;  // too little work to hide a wait
      const int64_t next = p + 1 < panels ? p + 1 : 0,
                    from = (p + 1 < panels ? b : b + 1) * blocking.depth;
      fetch_squares(w, block.panel_begin + next, from, std::min(from + blocking.depth, w.out), part,
                    parts);
    };
    const auto weights = [&](int64_t b, int64_t p, int64_t depth) HWY_ATTR {
      return turned<decltype(type)>(w, block.panel_begin + p, b * blocking.depth, depth, scratch);
    };
    block_sums(args.dy.rows, w.out, blocking, packed_dy, block, sums, weights, fetch);
  });
  const int64_t column = block.panel_begin * kPanel, stride = panels * kPanel;
  const int64_t count = std::min(stride, w.in - column), first = block.tile_begin * kTileRows;
  const int64_t rows =
      std::min((block.tile_end - block.tile_begin) * kTileRows, args.dy.rows - first);
  with_slope(args.before ? args.activation : Activation::kNone, [&](const auto& slope_at) HWY_ATTR {
    for (int64_t r = 0; r < rows; ++r)
      finish_row(args, first + r, column, count, sums + r * stride, slope_at);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(transposed_blocking);
HWY_EXPORT(backward_block);

LinearBlocking linear_backward_blocking(int64_t rows, int64_t out) {
  return HWY_DYNAMIC_DISPATCH(transposed_blocking)(rows, out);
}

void linear_backward_block(const LinearBackwardArgs& args, const LinearBlocking& blocking,
                           const float* packed_dy, const LinearBlock& block, float* scratch) {
  HWY_DYNAMIC_DISPATCH(backward_block)(args, blocking, packed_dy, block, scratch);
}

}  // namespace vitrine::internal::cpu
#endif
