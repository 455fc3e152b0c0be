// SPDX-License-Identifier: MIT
#include "vitrine/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/check.h"
#include "base/float_bits.h"

namespace vitrine {
using namespace internal;

Shape::Shape(std::initializer_list<int64_t> sizes)
    : Shape(std::span<const int64_t>(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const int64_t> sizes) {
  if (sizes.size() > kMaxRank)
    user_error("a tensor has {} axes: expected at most {}", sizes.size(), kMaxRank);
  rank_ = static_cast<int>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
  int64_t product = 1;
  for (int64_t size : sizes) {
    if (size < 0) user_error("invalid shape {}: expected sizes >= 0", to_string());
    // Without regard to zeros, so that strides and the sizes of slices fit as well.
    if (__builtin_mul_overflow(product, std::max<int64_t>(size, 1), &product))
      user_error("invalid shape {}: the number of elements exceeds 64 bits", to_string());
  }
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int64_t size : sizes()) product *= size;
  return product;
}

std::string Shape::to_string() const { return fmt::format("[{}]", fmt::join(sizes(), ", ")); }

std::span<const std::byte> TensorView::host_bytes() const {
  if (residence_ == Residence::kDevice) {
    user_error(
        "tensor {} is in GPU memory: expected host memory; copy it with Model::to_host(), or run "
        "with "
        "Residence::kHost",
        shape_.to_string());
  }
  return {static_cast<const std::byte*>(data_), bytes()};
}

std::span<const float> TensorView::f32() const {
  if (dtype_ != DType::kF32)
    user_error("tensor {} is {}: expected f32; convert it with to_f32()", shape_.to_string(),
               dtype_name(dtype_));
  return {reinterpret_cast<const float*>(host_bytes().data()), static_cast<size_t>(elements())};
}

std::vector<float> TensorView::to_f32() const {
  std::vector<float> out(static_cast<size_t>(elements()));
  const std::byte* from = host_bytes().data();
  const auto* half = reinterpret_cast<const uint16_t*>(from);
  switch (dtype_) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), from, bytes());
      break;
    case DType::kF16:
      std::transform(half, half + out.size(), out.begin(), f16_to_f32);
      break;
    case DType::kBF16:
      std::transform(half, half + out.size(), out.begin(), bf16_to_f32);
      break;
    default:
      user_error("tensor {} is {}, which has no conversion to f32: expected f32, f16 or bf16",
                 shape_.to_string(), dtype_name(dtype_));
  }
  return out;
}

TensorView TensorView::slice(int64_t index) const {
  if (shape_.rank() == 0 || index < 0 || index >= shape_[0]) {
    user_error("index {} is out of range of the first axis of tensor {}", index,
               shape_.to_string());
  }
  const Shape rest(shape_.sizes().subspan(1));
  const auto* bytes = static_cast<const std::byte*>(data_);
  return {bytes + static_cast<size_t>(index * rest.elements()) * dtype_size(dtype_), dtype_, rest,
          residence_};
}

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(shape) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.elements()), dtype_size(dtype), &bytes)) {
    user_error("invalid {} tensor {}: the number of bytes exceeds 64 bits", dtype_name(dtype),
               shape.to_string());
  }
  try {
    storage_ = std::make_shared<std::byte[]>(std::max<size_t>(bytes, 1));
  } catch (const std::bad_alloc&) {
    internal_error("out of memory for a {} tensor {} ({} bytes)", dtype_name(dtype),
                   shape.to_string(), bytes);
  }
}

Tensor Tensor::from(std::span<const float> values, Shape shape) {
  if (static_cast<int64_t>(values.size()) != shape.elements()) {
    user_error("{} values do not match a tensor {}", values.size(), shape.to_string());
  }
  Tensor tensor(DType::kF32, shape);
  std::copy(values.begin(), values.end(), tensor.f32().begin());
  return tensor;
}

Tensor Tensor::from(std::span<const float> values) {
  return from(values, Shape{static_cast<int64_t>(values.size())});
}

std::span<float> Tensor::f32() {
  if (dtype_ != DType::kF32)
    user_error("tensor {} is {}: expected f32", shape_.to_string(), dtype_name(dtype_));
  return {reinterpret_cast<float*>(storage_.get()), static_cast<size_t>(elements())};
}

std::span<const float> Tensor::f32() const { return view().f32(); }

}  // namespace vitrine
