// SPDX-License-Identifier: MIT
#include "engine/checkpoint/files.h"

#include <fmt/format.h>

#include <utility>

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

CheckpointFiles read_safetensors_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  CheckpointFiles result;
  for (const SafetensorsEntry& entry :
       parse_safetensors_header(file->bytes(), path.string()).entries) {
    result.tensors.emplace(entry.name,
                           StoredTensor::dense(file, entry.begin, entry.dtype, entry.shape));
  }
  return result;
}

}  // namespace vitrine::internal
