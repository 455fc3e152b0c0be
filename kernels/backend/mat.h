// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "vitrine/dtype.h"

namespace vitrine::internal {

/// Matrix in the backend's memory: element (i, j) is at offset i * stride + j from `data`. Float32,
/// except activations that a backend keeps between its operations in the weights' 16-bit type (see
/// ForwardOps::activation_dtype).
struct Mat {
  std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  DType dtype = DType::kF32;

  Mat() = default;
  Mat(float* d, int64_t r, int64_t c) : Mat(d, r, c, c) {}
  Mat(float* d, int64_t r, int64_t c, int64_t s)
      : Mat(reinterpret_cast<std::byte*>(d), r, c, s, DType::kF32) {}
  Mat(std::byte* d, int64_t r, int64_t c, int64_t s, DType t)
      : data(d), rows(r), cols(c), stride(s), dtype(t) {}

  explicit operator bool() const { return data != nullptr; }
  std::byte* at(int64_t i, int64_t j) const {
    return data + (i * stride + j) * static_cast<int64_t>(dtype_size(dtype));
  }
  /// For float32 matrices only.
  float* f32() const { return reinterpret_cast<float*>(data); }
  float* row(int64_t i) const { return f32() + i * stride; }
  Mat columns(int64_t begin, int64_t count) const {
    return {at(0, begin), rows, count, stride, dtype};
  }
  Mat row_range(int64_t begin, int64_t count) const {
    return {at(begin, 0), count, cols, stride, dtype};
  }
};

/// Memory of one backend, freed with its owner. On a CPU: 64-byte aligned, in 2 MB pages where the
/// system gives them.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, std::shared_ptr<void> owner)
      : data_(data), bytes_(bytes), owner_(std::move(owner)) {}
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  float* f32() const { return static_cast<float*>(data_); }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::shared_ptr<void> owner_;
};

/// Bytes rounded up to whole lines of 64, which is what pieces of a buffer begin at.
constexpr size_t whole_lines(size_t bytes) { return (bytes + 63) & ~size_t{63}; }

}  // namespace vitrine::internal
