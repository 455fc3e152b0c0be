// SPDX-License-Identifier: MIT
#include "engine/checkpoint/named_tensor.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/finite.h"
#include "base/float_bits.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

size_t offset_of(const StoredTensor& matrix, int64_t row, int64_t col) {
  return static_cast<size_t>(row * matrix.strides[0] + col * matrix.strides[1]);
}

const std::byte* data_of(const StoredTensor& tensor) {
  return tensor.file->aligned(tensor.offset, tensor.span_bytes, dtype_size(tensor.dtype));
}

/// As `dtype` holds the value.
float rounded(float value, DType dtype) {
  if (dtype == DType::kF16) return f16_to_f32(f32_to_f16(value));
  return dtype == DType::kBF16 ? bf16_to_f32(f32_to_bf16(value)) : value;
}

}  // namespace

std::string where(const NamedTensor& named) {
  return fmt::format("{}: tensor {}", named.tensor.file->path().string(),
                     quote(named.name_in_file));
}

float element(const void* data, DType dtype, size_t at) {
  if (dtype == DType::kF32) return static_cast<const float*>(data)[at];
  if (dtype == DType::kF64) return static_cast<float>(static_cast<const double*>(data)[at]);
  const uint16_t half = static_cast<const uint16_t*>(data)[at];
  return dtype == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
}

std::vector<float> values_of(const NamedTensor& named) {
  if (named.make) {
    std::vector<float> made = named.make();
    const auto bad = first_non_finite(made.data(), DType::kF32, std::ssize(made));
    if (bad)
      user_error("{}: element {} of what is made of it is NaN or infinite: expected finite weights",
                 where(named), *bad);
    return made;
  }
  const StoredTensor& tensor = named.tensor;
  const std::byte* data = data_of(tensor);
  const bool matrix = tensor.shape.rank() == 2;
  const int64_t rows = matrix ? tensor.shape[0] : 1, cols = tensor.shape.back();
  std::vector<float> values;
  values.reserve(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      const auto at = matrix ? offset_of(tensor, i, j) : static_cast<size_t>(j * tensor.strides[0]);
      values.push_back(element(data, tensor.dtype, at));
      if (tensor.dtype != DType::kF64 || std::isfinite(values.back())) continue;
      const std::string index = matrix ? fmt::format("[{}, {}]", i, j) : fmt::format("[{}]", j);
      user_error("{}: element {} is {}: expected a finite number of float32", where(named), index,
                 reinterpret_cast<const double*>(data)[at]);
    }
  }
  return values;
}

bool same_matrix(const NamedTensor& x, const NamedTensor& y) {
  const StoredTensor &a = x.tensor, &b = y.tensor;
  if (a.shape != b.shape) return false;
  if (x.make || y.make) return values_of(x) == values_of(y);
  if (a.dtype == b.dtype && a.strides == b.strides)
    return std::memcmp(a.file->data() + a.offset, b.file->data() + b.offset, a.span_bytes) == 0;
  const std::byte *first = data_of(a), *second = data_of(b);
  for (int64_t i = 0; i < a.shape[0]; ++i) {
    for (int64_t j = 0; j < a.shape[1]; ++j) {
      const float p = element(first, a.dtype, offset_of(a, i, j)),
                  q = element(second, b.dtype, offset_of(b, i, j));
      if (p != q && rounded(p, b.dtype) != q && rounded(q, a.dtype) != p) return false;
    }
  }
  return true;
}

std::vector<int32_t> non_finite_rows(const StoredTensor& table, const std::byte* data) {
  std::vector<int32_t> rows;
  for (int64_t row = 0; row < table.shape[0]; ++row) {
    for (int64_t col = 0; col < table.shape[1]; ++col) {
      if (std::isfinite(element(data, table.dtype, offset_of(table, row, col)))) continue;
      rows.push_back(static_cast<int32_t>(row));
      break;
    }
  }
  return rows;
}

}  // namespace vitrine::internal
