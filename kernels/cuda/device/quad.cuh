// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/primitives.cuh"

// Four neighbours of a row: one load of 16 or 8 bytes where they are aligned and all there.

namespace vitrine::internal::cuda {

inline constexpr int kQuad = 4;

struct Quad {
  float x[kQuad];
};

template <class T>
struct alignas(kQuad * sizeof(T)) StoredQuad {
  T x[kQuad];
};

/// The first `count` elements from there on, the others 0. `whole`: all four, and aligned.
template <class T>
VITRINE_DEVICE Quad load_quad(const T* from, int count, bool whole) {
  Quad quad{};
  if (whole) {
    const auto stored = *reinterpret_cast<const StoredQuad<T>*>(from);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) quad.x[i] = widen(stored.x[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      if (i < count) quad.x[i] = widen(from[i]);
    }
  }
  return quad;
}

template <class T>
VITRINE_DEVICE void store_quad(T* to, const Quad& quad, int count, bool whole) {
  if (whole) {
    StoredQuad<T> stored;
#pragma unroll
    for (int i = 0; i < kQuad; ++i) stored.x[i] = narrow<T>(quad.x[i]);
    *reinterpret_cast<StoredQuad<T>*>(to) = stored;
  } else {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      if (i < count) to[i] = narrow<T>(quad.x[i]);
    }
  }
}

VITRINE_DEVICE void add(Quad& quad, const Quad& other) {
#pragma unroll
  for (int i = 0; i < kQuad; ++i) quad.x[i] += other.x[i];
}

}  // namespace vitrine::internal::cuda
