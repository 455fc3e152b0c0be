// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/device/quad.cuh"
#include "kernels/cuda/runtime/launch.h"

// How the kernels that go over rows element by element take them: in quads, where the row is
// aligned and the quad is whole, and single elements anywhere else.

namespace vitrine::internal::cuda {

/// Elements (row, column) of a matrix in the device's memory: a Mat whose type is known.
template <class T>
struct Rows {
  T* data = nullptr;
  int64_t stride = 0;
  bool aligned = false;  ///< every row begins where a quad can be loaded at once

  Rows() = default;
  explicit Rows(const Mat& m) : Rows(reinterpret_cast<T*>(m.data), m.stride) {}
  Rows(T* from, int64_t row_stride)
      : data(from),
        stride(row_stride),
        aligned(reinterpret_cast<uintptr_t>(from) % (kQuad * sizeof(T)) == 0 &&
                row_stride % kQuad == 0) {}

  VITRINE_DEVICE T* at(int64_t row, int64_t column) const { return data + row * stride + column; }
};

/// Threads of a block that has `quads` to do, of at most `most`: whole warps, and none without
/// work.
inline int threads_for(int64_t quads, int most) {
  return static_cast<int>(ceil_div(quads < most ? (quads > 0 ? quads : 1) : most, kWarp)) * kWarp;
}

/// One block for each part of each row, a quad for each thread.
struct RowGrid {
  int64_t cols;
  int parts, threads;
  int64_t blocks;

  RowGrid(int64_t rows, int64_t columns) : cols(columns) {
    const int64_t quads = ceil_div(columns, kQuad);
    threads = threads_for(quads, 256);
    parts = static_cast<int>(ceil_div(quads, threads));
    blocks = rows * parts;
  }
  LaunchShape shape() const {
    return {.grid = dim3(blocks), .block = dim3(threads), .may_start_early = true};
  }

  VITRINE_DEVICE int64_t row() const { return blockIdx.x / static_cast<unsigned>(parts); }
  VITRINE_DEVICE int64_t column() const {
    return (static_cast<int64_t>(blockIdx.x % static_cast<unsigned>(parts)) * threads +
            threadIdx.x) *
           kQuad;
  }
  /// Of the thread's quad; not above 0 where it has none.
  VITRINE_DEVICE int count() const {
    const int64_t left = cols - column();
    return left < kQuad ? static_cast<int>(left) : kQuad;
  }
};

/// The sum of the warps' sums, one after the other.
template <class T>
VITRINE_DEVICE T sum_of_warps(const T* slots, int warps) {
  T sum = slots[0];
  for (int w = 1; w < warps; ++w) sum += slots[w];
  return sum;
}

/// A sum over the block in an order that its size alone fixes: lanes as a tree, then warp after
/// warp. `slots` is shared memory for one value of each warp, to be written again only after the
/// next barrier.
template <class T>
VITRINE_DEVICE T block_sum(T value, T* slots) {
  value = warp_sum(value);
  if (lane_id() == 0) slots[warp_id()] = value;
  __syncthreads();
  return sum_of_warps(slots, static_cast<int>(blockDim.x) / kWarp);
}

/// For operations on the residual stream and the like, which are float32 only.
inline Rows<float> float_rows(const Mat& m, const char* what) {
  if (m && m.dtype != DType::kF32) fail(std::string(what) + " is float32 only");
  return Rows<float>(m);
}

}  // namespace vitrine::internal::cuda
