// SPDX-License-Identifier: MIT
// The one inner loop of all matrix products: rows of activations times panels of weights, sixteen
// outputs each.

#if defined(VITRINE_KERNELS_CPU_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_KERNELS_CPU_PANEL_INL_H_
#undef VITRINE_KERNELS_CPU_PANEL_INL_H_
#else
#define VITRINE_KERNELS_CPU_PANEL_INL_H_
#endif

#include <hwy/cache_control.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// Rows that one pass over a panel computes: as many as leave room in the registers for a panel row
// and a broadcast.
#if HWY_TARGET == HWY_SCALAR
constexpr int kTileRows = 1;
#else
constexpr int kTileRows = kLanes >= 16 ? 12 : kLanes == 8 || HWY_TARGET == HWY_NEON ? 6 : 3;
#endif

// How a walk takes up the sums that are there.
enum class Start {
  kFresh,  // a chain from 0
  kGoOn,  // the chain goes on from the sums. That it rested in memory as float32 changes no bit, so
          // blocks may be of any size
  kAddTo,  // a chain from 0, added to the sums at its end: blocks must be cut at the same inputs
           // everywhere
};

// What a walk asks memory for meanwhile, `step` bytes on for each input.
struct Fetch {
  const std::byte* at = nullptr;
  int64_t step = 0;
};

// sums[r][c] = x[r][0] w[0][c] + x[r][1] w[1][c] + ...: one chain of fused multiply-adds for each
// output, in this order always, whatever the number of rows.
//
// Rows of x are `x_stride` apart, panels `panel_stride` elements, rows of sums `sums_stride`; panel
// p's sums begin at 16 p. `ahead` bytes on, the panels are fetched into the cache. Turned, x is
// read by columns: element k of row r at x[k][r].
template <int kRows, int kPanels, class W, bool kTurned = false, bool kFetch = false>
HWY_INLINE void walk_panels(const float* HWY_RESTRICT x, int64_t x_stride, const W* HWY_RESTRICT w,
                            int64_t panel_stride, int64_t depth, float* HWY_RESTRICT sums,
                            int64_t sums_stride, Start start, int64_t ahead = 0, Fetch fetch = {}) {
  constexpr int kColumns = kPanels * kVectors;
  const F32 d;
  Vector acc[kRows][kColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c)
      acc[r][c] = start == Start::kGoOn ? load(sums + r * sums_stride + c * kLanes) : hn::Zero(d);
  }
  // Panel by panel: with all their weights widened at once, a sum finds no register and its chain
  // goes through memory.
  const auto step = [&](int64_t k, bool new_line) HWY_ATTR {
    if constexpr (kFetch) hwy::Prefetch(fetch.at + k * fetch.step);
    for (int p = 0; p < kPanels; ++p) {
      const W* at = w + p * panel_stride + k * kPanel;
      if (new_line && ahead != 0) hwy::Prefetch(reinterpret_cast<const std::byte*>(at) + ahead);
      Vector weights[kVectors];
      for (int v = 0; v < kVectors; ++v) weights[v] = load(at + v * kLanes);
      for (int r = 0; r < kRows; ++r) {
        const Vector factor = hn::Set(d, kTurned ? x[k * x_stride + r] : x[r * x_stride + k]);
        for (int v = 0; v < kVectors; ++v)
          acc[r][p * kVectors + v] = hn::MulAdd(factor, weights[v], acc[r][p * kVectors + v]);
      }
    }
  };
  constexpr int kUnrolled =
      4;  // the counting of the loop would otherwise be a sixth of its instructions
  constexpr int kToALine =
      sizeof(W) < 4 ? 4 / sizeof(W) : 1;  // inputs: each line is requested once
  int64_t k = 0;
  for (; k + kUnrolled <= depth; k += kUnrolled) {
    for (int u = 0; u < kUnrolled; ++u) step(k + u, u % kToALine == 0);
  }
  for (; k < depth; ++k) step(k, true);
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      float* to = sums + r * sums_stride + c * kLanes;
      store(start == Start::kAddTo ? hn::Add(load(to), acc[r][c]) : acc[r][c], to);
    }
  }
}

// walk_panels for one panel of float32 and any number of rows up to kTileRows.
template <bool kTurned = false, bool kFetch = false, int kRows = kTileRows>
HWY_NOINLINE void walk_tile(int64_t rows, const float* x, int64_t x_stride, const float* w,
                            int64_t depth, float* sums, int64_t sums_stride, Start start,
                            Fetch fetch = {}) {
  if constexpr (kRows > 0) {
    if (rows == kRows)
      return walk_panels<kRows, 1, float, kTurned, kFetch>(x, x_stride, w, 0, depth, sums,
                                                           sums_stride, start, 0, fetch);
    walk_tile<kTurned, kFetch, kRows - 1>(rows, x, x_stride, w, depth, sums, sums_stride, start,
                                          fetch);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#endif  // VITRINE_KERNELS_CPU_PANEL_INL_H_
