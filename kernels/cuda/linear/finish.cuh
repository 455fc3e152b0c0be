// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/linear/epilogue.cuh"

// The end of a tile whose sums lie in shared memory: what follows them, written along the rows.

namespace vitrine::internal::cuda {

/// Where a tile begins in the output, and how much of it lies inside; `rows` may be negative.
struct Region {
  int row, column, rows, columns;
};

/// Finishes four columns from `column` on of rows `row`, `row` + kAtOnce and so on, `count` of
/// them; fours are aligned. The sums are at `sums` and at each kStride floats further. Without an
/// activation the residual of the next row is read before this one is finished; with one, registers
/// are too few, and enough is computed in between.
template <class T, Activation kKind, int kAtOnce, int kStride>
VITRINE_DEVICE void finish_four_columns(const Epilogue& epilogue, int64_t row, int64_t column,
                                        int count, const float* sums) {
  constexpr bool kEarly = kKind == Activation::kNone;
  const auto at = [=](auto* matrix, int64_t stride) { return matrix + row * stride + column; };
  const bool adds = epilogue.residual != nullptr, taps = epilogue.before != nullptr;
  const float* residual = adds ? at(epilogue.residual, epilogue.residual_stride) : nullptr;
  float* before = taps ? at(epilogue.before, epilogue.before_stride) : nullptr;
  const int64_t size = epilogue.out_is_float ? sizeof(float) : sizeof(T);
  auto* out = static_cast<std::byte*>(epilogue.out) + (row * epilogue.out_stride + column) * size;
  Quad next = adds && kEarly ? load_quad(residual, kQuad, true) : Quad{};
#pragma unroll 1
  for (int n = 0; n < count; ++n) {
    Quad y = load_quad(sums + n * kStride, kQuad, true);
    if (epilogue.bias != nullptr) add(y, load_quad(epilogue.bias + column, kQuad, true));
    Quad added = next;
    if (adds) {
      if (!kEarly) added = load_quad(residual, kQuad, true);
      residual += kAtOnce * epilogue.residual_stride;
      if (kEarly && n + 1 < count) next = load_quad(residual, kQuad, true);
    }
    if (taps) {
      store_quad(before, y, kQuad, true);
      before += kAtOnce * epilogue.before_stride;
    }
#pragma unroll
    for (float& value : y.x) value = activated<kKind>(value);
    if (adds) add(y, added);
    if (epilogue.out_is_float)
      store_quad(reinterpret_cast<float*>(out), y, kQuad, true);
    else
      store_quad(reinterpret_cast<T*>(out), y, kQuad, true);
    out += kAtOnce * epilogue.out_stride * size;
  }
}

/// Finishes a region of at most kColumns columns, with `sums` [rows][kStride]. kThreads threads do
/// so together. Each takes four columns, down the rows, so that little is computed but the
/// elements; single elements where fours are not aligned, so that neighbouring threads still write
/// neighbouring elements.
template <class T, int kColumns, int kStride, int kThreads>
VITRINE_DEVICE void finish_region(const Epilogue& epilogue, const Region& region, const float* sums,
                                  int thread) {
  constexpr int kFours = kColumns / kQuad, kAtOnce = kThreads / kFours;
  const int c = thread % kFours * kQuad, first = thread / kFours;
  if (!epilogue.fours_are_aligned) {
    for (int n = thread; n < region.rows * kColumns; n += kThreads) {
      if (n % kColumns < region.columns)
        epilogue.apply<T>(region.row + n / kColumns, region.column + n % kColumns,
                          sums[n / kColumns * kStride + n % kColumns]);
    }
  } else if (first >= kAtOnce || first >= region.rows) {
    return;  // more threads than whole rows take, or than there are rows
  } else if (c + kQuad <= region.columns) {
    const int count = (region.rows - first + kAtOnce - 1) / kAtOnce;
    with_activation(epilogue.activation, [&](auto kind) {
      finish_four_columns<T, kind.value, kAtOnce, kAtOnce * kStride>(
          epilogue, region.row + first, region.column + c, count, sums + first * kStride + c);
    });
  } else {
#pragma unroll 1
    for (int r = first; r < region.rows; r += kAtOnce) {
#pragma unroll 1
      for (int i = c; i < region.columns; ++i)
        epilogue.apply<T>(region.row + r, region.column + i, sums[r * kStride + i]);
    }
  }
}

}  // namespace vitrine::internal::cuda
