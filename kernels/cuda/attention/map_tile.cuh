// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/attention/tile.cuh"
#include "kernels/cuda/runtime/device.h"

// Tiles of maps, from the tensor cores' layout to rows in memory: a warp's 16 rows of 64 columns
// pass through shared memory in pieces of 16 bytes, so that each store of a warp writes whole rows.

namespace vitrine::internal::cuda {

inline constexpr int kMapTileRows = 16;

/// Where a part of a map lies.
struct MapTile {
  float* to;                  ///< its first element
  int64_t stride;             ///< from row to row, in elements
  int rows = 0, columns = 0;  ///< at most kMapTileRows and kKeyTile

  /// four(row, column) is the 16 bytes from an element on, called where all rows allow 16-byte
  /// stores; elsewhere one(row, column) is an element.
  template <class Four, class One>
  VITRINE_DEVICE void write(const Four& four, const One& one) const {
    if (reinterpret_cast<uintptr_t>(to) % sizeof(Chunk) == 0 && stride % 4 == 0) {
      const int column = lane_id() % 16 * 4;
      if (column >= columns) return;
#pragma unroll
      for (int i = 0; i < kMapTileRows / 2; ++i) {
        const int row = 2 * i + lane_id() / 16;
        if (row < rows) *reinterpret_cast<Chunk*>(to + row * stride + column) = four(row, column);
      }
      return;
    }
#pragma unroll 4
    for (int row = 0; row < rows; ++row) {
#pragma unroll
      for (int column = lane_id(); column < kKeyTile; column += kWarp) {
        if (column < columns) to[row * stride + column] = one(row, column);
      }
    }
  }
  VITRINE_DEVICE void fill(float value) const {
    const auto word = std::bit_cast<uint32_t>(value);
    write([&](int, int) { return Chunk{word, word, word, word}; }, [&](int, int) { return value; });
  }
};

/// A warp's piece of shared memory.
template <class T>
struct MapStage {
  /// Floats of a row: lanes that store together, those of two rows, meet different banks.
  static constexpr int kStride = kKeyTile + (sizeof(T) == 2 ? 4 : 16);
  static constexpr int kFloats = kMapTileRows * kStride;
  float* data;

  VITRINE_DEVICE explicit MapStage(int warp) : data(shared_memory<float>() + warp * kFloats) {}

  VITRINE_DEVICE void write(const float (&values)[kKeyBlocks][4], const MapTile& tile) const {
    __syncwarp();  // no lane reads what was here before
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < kLaneKeys; i += 4) {
        const int key = lane_key<T>(i / kChunk<T>) + i % kChunk<T>;
        const float *a = values[i / 2] + 2 * half, *b = values[i / 2 + 1] + 2 * half;
        *reinterpret_cast<Chunk*>(data + (lane_row() + 8 * half) * kStride + key) = {
            std::bit_cast<uint32_t>(a[0]), std::bit_cast<uint32_t>(a[1]),
            std::bit_cast<uint32_t>(b[0]), std::bit_cast<uint32_t>(b[1])};
      }
    }
    __syncwarp();
    tile.write([&](int row, int column) { return load_chunk(data + row * kStride + column); },
               [&](int row, int column) { return data[row * kStride + column]; });
  }
};

/// Number of blocks along the keys: enough to keep the GPU's SMs busy, at most one for each tile.
/// `blocks` are those of one tile of keys.
inline int64_t map_blocks(const Device& device, int64_t blocks, int64_t tiles) {
  constexpr int64_t kBlocksPerSm = 16;
  return std::min(tiles,
                  std::max<int64_t>(1, ceil_div(kBlocksPerSm * device.processors(), blocks)));
}

}  // namespace vitrine::internal::cuda
