// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

// What Hopper's copy engine is told of a matrix. Apart from device/hopper.cuh, because the driver's
// header does not go with kernels.
//
// A tile is `rows` x 64 elements of 16 bits along K, a row being 128 bytes, the first row at a
// multiple of 1024 bytes. The 16-byte chunk c of row r lies at place c ^ (r % 8) of the row (the
// 128-byte swizzle), so that eight rows' chunks c lie in different banks. Tile copies write it so,
// and products read it so.

namespace vitrine::internal::cuda {

inline constexpr int kTileRowBytes = 128;
inline constexpr int kTileDepth = 64;  ///< elements of K in a tile
inline constexpr int kStepDepth = 16;  ///< elements of K that one product takes

/// A matrix of 16-bit elements in global memory and the tiles that are copied from it: a
/// CUtensorMap.
struct alignas(128) TensorMap {
  std::byte opaque[128];
};

/// `data` and `row_bytes` are multiples of 16. What a tile holds beyond the matrix is zero. At most
/// 256 rows a tile.
TensorMap tensor_map(const void* data, int64_t rows, int64_t columns, int64_t row_bytes,
                     int tile_rows);

}  // namespace vitrine::internal::cuda
