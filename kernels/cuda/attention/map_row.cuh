// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/runtime/batch.h"
#include "kernels/cuda/runtime/launch.h"

namespace vitrine::internal::cuda {

inline constexpr int kMapWarps = 4;  ///< of a block

/// What a warp works on: one query of one head.
struct MapRow {
  int head = 0, row = 0;                 // of the packed batch
  int first = 0, length = 0, total = 0;  // the positions it sees end at length; columns of the map
  int64_t map = 0;
  const SequenceSlice* slice = nullptr;  // null: nothing to do

  VITRINE_DEVICE MapRow(const BatchView& batch, int heads, int64_t window) {
    const int64_t index = static_cast<int64_t>(blockIdx.x) * kMapWarps + warp_id();
    head = static_cast<int>(index % heads);
    row = static_cast<int>(index / heads);
    const int s = row < batch.rows ? batch.sequence_of_row[row] : -1;
    if (s < 0) return;
    slice = batch.sequences + s;
    const int own = row - static_cast<int>(slice->row);
    length = static_cast<int>(slice->past) + own + 1;
    if (window > 0 && length > window) first = length - static_cast<int>(window);
    total = static_cast<int>(slice->past + slice->rows);
    map = slice->map + (head * slice->rows + own) * total;
  }
};

inline LaunchShape warp_for_each_query(const PassBatch& batch, int heads) {
  return {.grid = ceil_div(batch_rows(batch) * heads, kMapWarps),
          .block = kMapWarps * kWarp,
          .may_start_early = true};
}

}  // namespace vitrine::internal::cuda
