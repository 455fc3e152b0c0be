// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/dtype.h"

namespace vitrine {

/// Sizes of up to four axes, outermost first. A scalar has rank 0 and one element.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes);
  /// Throws Error (user) for more than kMaxRank axes, a negative size, or a product that overflows
  /// int64.
  explicit Shape(std::span<const int64_t> sizes);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return sizes_[static_cast<size_t>(axis)]; }
  int64_t back() const { return sizes_[static_cast<size_t>(rank_ - 1)]; }
  /// Product of the sizes; 1 for a scalar.
  int64_t elements() const;
  std::span<const int64_t> sizes() const { return {sizes_.data(), static_cast<size_t>(rank_)}; }
  /// "[2, 3]"
  std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

/// Memory that holds a tensor's elements. On a CPU backend it is always host memory.
enum class Residence : uint8_t { kHost, kDevice };

/// Dense, row-major, read-only view of memory that it does not own.
class TensorView {
 public:
  TensorView() = default;
  TensorView(const void* data, DType dtype, Shape shape, Residence residence = Residence::kHost)
      : data_(data), dtype_(dtype), shape_(shape), residence_(residence) {}

  /// Host or device pointer, depending on residence().
  const void* data() const { return data_; }
  Residence residence() const { return residence_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_size(dtype_); }

  /// Elements as float32. Throws Error (user) for another dtype (see to_f32() for a conversion),
  /// and for device memory (see Model::to_host()).
  std::span<const float> f32() const;
  /// Float32 copy of elements of any floating dtype. Throws Error (user) for device memory.
  std::vector<float> to_f32() const;
  /// Bytes of the elements. Throws Error (user) for device memory.
  std::span<const std::byte> host_bytes() const;
  /// Slice `index` along the first axis. Throws Error (user) if out of range.
  TensorView slice(int64_t index) const;

 private:
  const void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
  Residence residence_ = Residence::kHost;
};

/// Dense, row-major memory of the caller that a pass writes to. It must live until the pass has
/// ended.
struct TensorMemory {
  void* data = nullptr;  ///< host or device pointer, depending on `residence`
  DType dtype = DType::kF32;
  Shape shape;
  Residence residence = Residence::kHost;
};

/// Dense, row-major tensor in host memory. Copies are cheap and share the data.
class Tensor {
 public:
  Tensor() = default;
  /// Zero-initialised. Throws Error (internal) if memory is insufficient.
  Tensor(DType dtype, Shape shape);
  /// Float32 tensor with a copy of `values`. Throws Error (user) if the count does not match the
  /// shape.
  static Tensor from(std::span<const float> values, Shape shape);
  /// Float32 vector with a copy of `values`.
  static Tensor from(std::span<const float> values);

  bool empty() const { return storage_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  void* data() { return storage_.get(); }
  const void* data() const { return storage_.get(); }
  /// Elements as float32. Throws Error (user) for another dtype.
  std::span<float> f32();
  std::span<const float> f32() const;
  TensorView view() const { return {storage_.get(), dtype_, shape_}; }
  // NOLINTNEXTLINE(google-explicit-constructor): a view of an owner is always safe to take
  operator TensorView() const { return view(); }

 private:
  std::shared_ptr<std::byte[]> storage_;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

}  // namespace vitrine
