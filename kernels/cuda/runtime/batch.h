// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend/batch.h"

namespace vitrine::internal::cuda {

/// The placed batch as kernels see it; passed by value. Pointers are into the device's memory.
struct BatchView {
  const SequenceSlice* sequences = nullptr;
  const int32_t* ids = nullptr;
  const int32_t* positions = nullptr;
  const int32_t* sequence_of_row = nullptr;  ///< [rows]; -1 for a row that belongs to none
  int rows = 0;
  int count = 0;  ///< of sequences
};

inline int64_t batch_rows(const PassBatch& batch) { return static_cast<int64_t>(batch.ids.size()); }

inline BatchView view(const PassBatch& batch) {
  BatchView v;
  v.rows = static_cast<int>(batch.ids.size());
  v.count = static_cast<int>(batch.sequences.size());
  v.sequences = reinterpret_cast<const SequenceSlice*>(batch.placed);
  v.ids = reinterpret_cast<const int32_t*>(batch.placed + batch.sequences.size_bytes());
  v.positions = v.ids + v.rows;
  v.sequence_of_row = v.positions + v.rows;
  return v;
}

}  // namespace vitrine::internal::cuda
