// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend/mat.h"

namespace vitrine::internal {

/// Hands out 64-byte aligned pieces of a buffer, one after the other. Without a buffer it only
/// counts, so that the same walk first sizes the memory of a run and then cuts it up.
class Arena {
 public:
  Arena() = default;
  explicit Arena(Buffer buffer) : buffer_(std::move(buffer)) {}

  std::byte* take_bytes(size_t bytes) {
    std::byte* at = buffer_ ? buffer_.data() + used_ : nullptr;
    used_ += whole_lines(bytes);
    return at;
  }
  float* take(int64_t count) {
    return reinterpret_cast<float*>(take_bytes(static_cast<size_t>(count) * sizeof(float)));
  }
  Mat take(int64_t rows, int64_t cols, DType dtype = DType::kF32) {
    return {take_bytes(static_cast<size_t>(rows * cols) * dtype_size(dtype)), rows, cols, cols,
            dtype};
  }
  /// The same with every row at the beginning of a line of 64 bytes.
  Mat take_aligned_rows(int64_t rows, int64_t cols, DType dtype) {
    const size_t stride = whole_lines(static_cast<size_t>(cols) * dtype_size(dtype));
    return {take_bytes(static_cast<size_t>(rows) * stride), rows, cols,
            static_cast<int64_t>(stride / dtype_size(dtype)), dtype};
  }
  size_t used() const { return used_; }

 private:
  Buffer buffer_;
  size_t used_ = 0;
};

}  // namespace vitrine::internal
