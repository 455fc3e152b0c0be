// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/elementwise/elementwise.cuh"

// Mean and scale of a row by a block. Thread t takes the quads t, t + threads, ... of it, and keeps
// them in registers in rows of up to 2048 elements. Sums are in double: each thread's quads in
// order, then block_sum(). The number of threads follows from the width alone, so that the order
// does, too.

namespace vitrine::internal::cuda {

inline constexpr int kMostNormThreads = 256;
inline constexpr int kNormWarps = kMostNormThreads / kWarp;

/// What a layernorm normalizes.
struct NormRows {
  Rows<float> x;
  int64_t width;
  double inverse_width;
  double epsilon;

  NormRows(const Mat& m, float eps)
      : x(float_rows(m, "a layernorm's input")),
        width(m.cols),
        inverse_width(1.0 / static_cast<double>(m.cols)),
        epsilon(static_cast<double>(eps)) {}
};

// kHeld: how many quads a thread has in registers; 0: it has more than two and reads them again
// each time.
template <int kHeld>
using Held = Quad[kHeld > 0 ? kHeld : 1];

/// f(column, elements there, slot) for each of the thread's quads.
template <int kHeld, class F>
VITRINE_DEVICE void for_each_quad(int64_t width, const F& f) {
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kQuad,
                step = static_cast<int64_t>(blockDim.x) * kQuad;
  const auto at = [&](int64_t column, int slot) {
    const int64_t left = width - column;
    f(column, left < kQuad ? static_cast<int>(left) : kQuad, slot);
  };
  if constexpr (kHeld > 0) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (first + i * step < width) at(first + i * step, i);
    }
  } else {
    for (int64_t column = first; column < width; column += step) at(column, 0);
  }
}

template <int kHeld>
VITRINE_DEVICE float mean_of(const NormRows& n, int64_t row, Held<kHeld>& x, double* slots) {
  double sum = 0.0;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      sum += static_cast<double>(x[slot].x[i]);  // what is not there is 0
  });
  return static_cast<float>(block_sum(sum, slots) * n.inverse_width);
}

template <int kHeld>
VITRINE_DEVICE float scale_of(const NormRows& n, int64_t row, Held<kHeld>& x, float mean,
                              double* slots) {
  double squares = 0.0;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    if constexpr (kHeld == 0)
      x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      const double distance = i < count ? static_cast<double>(x[slot].x[i] - mean) : 0.0;
      squares += distance * distance;
    }
  });
  return sqrtf(static_cast<float>(block_sum(squares, slots) * n.inverse_width + n.epsilon));
}

/// Calls f(kHeld as a constant) for the shape of a block for each row; `sums` of the block are
/// under way at once.
template <class F>
void with_norm_shape(int64_t rows, int64_t width, int sums, const F& f) {
  const int64_t quads = ceil_div(width, kQuad);
  const LaunchShape shape{.grid = dim3(rows),
                          .block = dim3(threads_for(quads, kMostNormThreads)),
                          .shared = static_cast<size_t>(sums) * kNormWarps * sizeof(double),
                          .may_start_early = true};
  if (quads <= kMostNormThreads)
    f(shape, std::integral_constant<int, 1>{});
  else if (quads <= 2 * kMostNormThreads)
    f(shape, std::integral_constant<int, 2>{});
  else
    f(shape, std::integral_constant<int, 0>{});
}

}  // namespace vitrine::internal::cuda
