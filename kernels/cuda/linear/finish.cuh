// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/linear/epilogue.cuh"

// The end of a tile whose sums lie in shared memory: what follows them, written along the rows.

namespace vitrine::internal::cuda {

/// Where a tile begins in the output, and how much of it lies inside; `rows` may be negative.
struct Region {
  int row, column, rows, columns;
};

/// Finishes a region of at most kColumns columns, with `sums` [rows][kStride]. `thread` of
/// `threads` that do so together takes four columns at a time, and reads the residual of the next
/// four before it computes these; one column where fours are not aligned, so that neighbouring
/// threads still write neighbouring elements.
template <class T, int kColumns, int kStride>
VITRINE_DEVICE void finish_region(const Epilogue& epilogue, const Region& region, const float* sums,
                                  int thread, int threads) {
  if (!epilogue.fours_are_aligned) {
    for (int n = thread; n < region.rows * kColumns; n += threads) {
      const int r = n / kColumns, c = n % kColumns;
      if (c < region.columns)
        epilogue.apply<T>(region.row + r, region.column + c, sums[r * kStride + c]);
    }
    return;
  }
  constexpr int kFours = kColumns / kQuad;
  const int count = region.rows * kFours;
  const auto residual_of = [&](int n) {
    const int r = n / kFours, c = n % kFours * kQuad;
    return n < count && c + kQuad <= region.columns
               ? epilogue.residual_four(region.row + r, region.column + c)
               : Quad{};
  };
  Quad next = residual_of(thread);
#pragma unroll 1
  for (int n = thread; n < count; n += threads) {
    const int r = n / kFours, c = n % kFours * kQuad;
    const float* at = sums + r * kStride + c;
    const Quad residual = next;
    next = residual_of(n + threads);
    if (c + kQuad <= region.columns) {
      epilogue.finish_four<T>(region.row + r, region.column + c, load_quad(at, kQuad, true),
                              residual);
    } else {
#pragma unroll 1
      for (int i = 0; c + i < region.columns; ++i)
        epilogue.apply<T>(region.row + r, region.column + c + i, at[i]);
    }
  }
}

}  // namespace vitrine::internal::cuda
