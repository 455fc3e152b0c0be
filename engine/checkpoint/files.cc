// SPDX-License-Identifier: MIT
#include "engine/checkpoint/files.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "base/finite.h"
#include "base/safetensors_header.h"

namespace vitrine::internal {

StoredTensor StoredTensor::dense(std::shared_ptr<const MappedFile> file, size_t offset, DType dtype,
                                 const Shape& shape) {
  StoredTensor tensor{std::move(file), dtype,
                      shape,           {},
                      offset,          static_cast<size_t>(shape.elements()) * dtype_size(dtype)};
  int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    tensor.strides[static_cast<size_t>(axis)] = stride;
    stride *= shape[axis];
  }
  return tensor;
}

std::optional<std::string> first_non_finite(const StoredTensor& tensor, const std::byte* data) {
  const bool matrix = tensor.shape.rank() == 2;
  int64_t rows = matrix ? tensor.shape[0] : 1;
  int64_t cols = tensor.shape.back();
  int64_t row_stride = matrix ? tensor.strides[0] : 0;
  int64_t col_stride = tensor.strides[matrix ? 1 : 0];
  // Memory is walked in its own order, neighbours at once: along the columns of a transposed
  // tensor, and all of a dense one.
  const bool transposed = matrix && row_stride == 1 && col_stride != 1;
  if (transposed) {
    std::swap(rows, cols);
    std::swap(row_stride, col_stride);
  }
  const int64_t run = col_stride != 1 ? 1 : row_stride == cols ? rows * cols : cols;
  for (int64_t begin = 0; begin < rows * cols; begin += run) {
    const auto at = static_cast<size_t>(begin / cols * row_stride + begin % cols * col_stride);
    const auto bad =
        internal::first_non_finite(data + at * dtype_size(tensor.dtype), tensor.dtype, run);
    if (!bad) continue;
    const int64_t row = (begin + *bad) / cols;
    const int64_t col = (begin + *bad) % cols;
    if (!matrix) return fmt::format("[{}]", col);
    return transposed ? fmt::format("[{}, {}]", col, row) : fmt::format("[{}, {}]", row, col);
  }
  return std::nullopt;
}

void CopyBudget::take(const StoredTensor& tensor, const std::string& where) {
  // A model whose layers share their weights has each as often as it has layers.
  constexpr size_t kMaxShares = 64;
  const size_t size = dtype_size(tensor.dtype), bytes = tensor.file->size();
  const auto elements = static_cast<size_t>(tensor.shape.elements());
  if (elements > tensor.span_bytes / size) {
    user_error(
        "{}: its {} elements of shape {} share {} bytes of the file; save the tensor with "
        ".contiguous()",
        where, elements, tensor.shape.to_string(), tensor.span_bytes);
  }
  size_t& taken = taken_[tensor.file.get()];
  taken += elements * size;
  if (taken / kMaxShares > bytes) {
    user_error(
        "{}: the tensors up to this one have {} bytes and share those of a file of {}: expected at "
        "most {} times its size; save the tensors with .clone()",
        where, taken, bytes, kMaxShares);
  }
}

CheckpointFiles read_safetensors_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  CheckpointFiles result;
  const SafetensorsHeader header = parse_safetensors_header(file->bytes(), path.string(), true);
  for (const SafetensorsEntry& entry : header.entries) {
    if (!entry.unknown_dtype.empty())
      result.other_types.emplace(entry.name, entry.unknown_dtype);
    else
      result.tensors.emplace(entry.name,
                             StoredTensor::dense(file, entry.begin, entry.dtype, entry.shape));
  }
  return result;
}

}  // namespace vitrine::internal
