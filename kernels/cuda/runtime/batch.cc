// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/batch.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/runtime/cuda_backend.h"

namespace vitrine::internal {

size_t CudaBackend::batch_bytes(int64_t rows, int64_t sequences) const {
  return static_cast<size_t>(sequences) * sizeof(SequenceSlice) +
         static_cast<size_t>(3 * rows) * sizeof(int32_t);
}

void CudaBackend::place(const PassBatch& batch) {
  const size_t rows = batch.ids.size();
  std::vector<std::byte> host(
      batch_bytes(static_cast<int64_t>(rows), static_cast<int64_t>(batch.sequences.size())));
  std::memcpy(host.data(), batch.sequences.data(), batch.sequences.size_bytes());
  auto* numbers = reinterpret_cast<int32_t*>(host.data() + batch.sequences.size_bytes());
  std::memcpy(numbers, batch.ids.data(), rows * sizeof(int32_t));
  std::memcpy(numbers + rows, batch.positions.data(), rows * sizeof(int32_t));
  int32_t* sequence_of_row = numbers + 2 * rows;
  std::fill(sequence_of_row, sequence_of_row + rows, -1);
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    for (int64_t r = 0; r < batch.sequences[s].rows; ++r)
      sequence_of_row[batch.sequences[s].row + r] = static_cast<int32_t>(s);
  }
  upload(batch.placed, host.data(), host.size());
}

}  // namespace vitrine::internal
