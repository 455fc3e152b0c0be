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
  int64_t width = 0;
  double inverse_width = 0.0;
  double epsilon = 0.0;

  NormRows() = default;
  NormRows(const Mat& m, float eps)
      : x(float_rows(m, "a layernorm's input")),
        width(m.cols),
        inverse_width(1.0 / static_cast<double>(m.cols)),
        epsilon(static_cast<double>(eps)) {}

  VITRINE_DEVICE float mean(double sum) const { return static_cast<float>(sum * inverse_width); }
  VITRINE_DEVICE float scale(double squares) const {
    return sqrtf(static_cast<float>(squares * inverse_width + epsilon));
  }
};

/// Threads of the block that sums a row of `width`.
inline int norm_threads(int64_t width) {
  return threads_for(ceil_div(width, kQuad), kMostNormThreads);
}

// kHeld: how many quads a thread has in registers; 0: it has more than two and reads them again
// each time.
template <int kHeld>
using Held = Quad[kHeld > 0 ? kHeld : 1];

/// f(column, elements there, slot) for each quad of thread `thread` of `threads`.
template <int kHeld, class F>
VITRINE_DEVICE void for_each_quad(int64_t width, const F& f, unsigned thread = threadIdx.x,
                                  unsigned threads = blockDim.x) {
  const int64_t first = static_cast<int64_t>(thread) * kQuad,
                step = static_cast<int64_t>(threads) * kQuad;
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

// A thread's share of the sums, quad by quad; the elements that a quad lacks are 0.
VITRINE_DEVICE void add_values(double& sum, const Quad& x) {
#pragma unroll
  for (int i = 0; i < kQuad; ++i) sum += static_cast<double>(x.x[i]);
}
VITRINE_DEVICE void add_squares(double& sum, const Quad& x, float mean, int count) {
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    const double distance = i < count ? static_cast<double>(x.x[i] - mean) : 0.0;
    sum += distance * distance;
  }
}
VITRINE_DEVICE Quad normalized(const Quad& x, float mean, float inverse, const Quad& weight,
                               const Quad& bias) {
  Quad y;
#pragma unroll
  for (int i = 0; i < kQuad; ++i) y.x[i] = (x.x[i] - mean) * inverse * weight.x[i] + bias.x[i];
  return y;
}

template <int kHeld>
VITRINE_DEVICE float mean_of(const NormRows& n, int64_t row, Held<kHeld>& x, double* slots) {
  double sum = 0.0;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
    add_values(sum, x[slot]);
  });
  return n.mean(block_sum(sum, slots));
}

template <int kHeld>
VITRINE_DEVICE float scale_of(const NormRows& n, int64_t row, Held<kHeld>& x, float mean,
                              double* slots) {
  double squares = 0.0;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    if constexpr (kHeld == 0)
      x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
    add_squares(squares, x[slot], mean, count);
  });
  return n.scale(block_sum(squares, slots));
}

/// Calls f(kHeld as a constant) for the shape of a block for each row; `sums` of the block are
/// under way at once.
template <class F>
void with_norm_shape(int64_t rows, int64_t width, int sums, const F& f) {
  const int64_t quads = ceil_div(width, kQuad);
  const LaunchShape shape{.grid = dim3(rows),
                          .block = dim3(norm_threads(width)),
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
