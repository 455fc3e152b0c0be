// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ceil_div.h"
#include "kernels/backend/weights.h"

namespace vitrine::internal::cpu {

/// Where keys and values of one layer of one sequence lie in its cache.
///
/// Both are packed matrices as `linear` has them, so that attention is the same walk: the scores of
/// a head are q times a [K, capacity] matrix in panels of 16 positions, and its output is the
/// pattern times a [capacity, K] matrix in panels of 16 channels.
struct KvLayout {
  static constexpr int64_t kPanel = PackedMatrix::kPanel;

  int64_t heads, width, capacity;

  int64_t key_panels() const { return ceil_div(capacity, kPanel); }
  int64_t value_panels() const { return ceil_div(width, kPanel); }
  int64_t key_floats() const { return heads * key_panels() * kPanel * width; }
  int64_t value_floats() const { return heads * value_panels() * kPanel * capacity; }
  size_t bytes() const {
    return static_cast<size_t>(key_floats() + value_floats()) * sizeof(float);
  }

  /// Keys of one head: panel p starts at offset p * kPanel * width, in floats.
  float* keys(std::byte* cache, int64_t head) const {
    return reinterpret_cast<float*>(cache) + head * key_panels() * kPanel * width;
  }
  /// Values of one head: panel p starts at offset p * kPanel * capacity, in floats.
  float* values(std::byte* cache, int64_t head) const {
    return reinterpret_cast<float*>(cache) + key_floats() +
           head * value_panels() * kPanel * capacity;
  }
};

}  // namespace vitrine::internal::cpu
