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

/// Where a tensor's elements lie. On a CPU backend everything is host memory.
enum class Residence : uint8_t { kHost, kDevice };

/// A dense, row-major, read-only look at memory that somebody else owns.
class TensorView {
 public:
  TensorView() = default;
  TensorView(const void* data, DType dtype, Shape shape, Residence residence = Residence::kHost)
      : data_(data), dtype_(dtype), shape_(shape), residence_(residence) {}

  /// A pointer of the host, or of the model's GPU, as residence() says.
  const void* data() const { return data_; }
  Residence residence() const { return residence_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_size(dtype_); }

  /// The elements as float32. Throws Error (user) if the dtype is another one (see to_f32() for a
  /// conversion), or if they lie in a GPU's memory (see Model::to_host()).
  std::span<const float> f32() const;
  /// A float32 copy of the elements of any floating dtype. Throws Error (user) if they lie in a
  /// GPU's memory.
  std::vector<float> to_f32() const;
  /// The elements' bytes. Throws Error (user) if they lie in a GPU's memory.
  std::span<const std::byte> host_bytes() const;
  /// The `index`-th slice along the first axis. Throws Error (user) if out of range.
  TensorView slice(int64_t index) const;

 private:
  const void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
  Residence residence_ = Residence::kHost;
};

/// A dense, row-major tensor in host memory that it shares with its copies (copying is cheap and
/// aliases the data).
class Tensor {
 public:
  Tensor() = default;
  /// Zero-filled. Throws Error (internal) when memory runs out.
  Tensor(DType dtype, Shape shape);
  /// A float32 tensor with a copy of `values`. Throws Error (user) if the count does not fit the
  /// shape.
  static Tensor from(std::span<const float> values, Shape shape);
  /// A float32 vector.
  static Tensor from(std::span<const float> values);

  bool empty() const { return storage_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  void* data() { return storage_.get(); }
  const void* data() const { return storage_.get(); }
  /// The elements as float32. Throws Error (user) if the dtype is another one.
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
