// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/mma.cuh"

namespace vitrine::internal::cuda {

/// Number of positions per tile of keys and values. Tiles always start at a multiple of it.
inline constexpr int kKeyTile = 64;

/// Layout of the keys and values of one layer of one sequence in its cache: for each head its keys
/// [positions][channels], then for each head its values [channels][positions]. Both are the right
/// operand of a matrix product (device/mma.cuh), q times keys along the channels and pattern times
/// values along the positions, and padded to its spans of 64 bytes.
///
/// append_kv writes zeros where a key is padded. Nothing else is initialised, and it may hold NaNs.
template <class T>
struct KvLayout {
  int heads = 0, width = 0;
  int64_t capacity = 0;

  constexpr int64_t padded_width() const { return ceil_div(width, kSpan<T>) * kSpan<T>; }
  constexpr int64_t padded_capacity() const { return ceil_div(capacity, kKeyTile) * kKeyTile; }
  constexpr int64_t head_elements() const { return padded_width() * padded_capacity(); }
  constexpr size_t bytes() const {
    return static_cast<size_t>(2 * heads * head_elements()) * sizeof(T);
  }

  /// Key p starts at offset p * padded_width(), in elements.
  VITRINE_DEVICE T* keys(std::byte* cache, int head) const {
    return reinterpret_cast<T*>(cache) + head * head_elements();
  }
  /// Channel c starts at offset c * padded_capacity(), in elements.
  VITRINE_DEVICE T* values(std::byte* cache, int head) const { return keys(cache, heads + head); }
};

}  // namespace vitrine::internal::cuda
