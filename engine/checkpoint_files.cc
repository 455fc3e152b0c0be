#include "engine/checkpoint_files.h"

#include <utility>

#include "base/safetensors_header.h"

namespace vitrine {

StoredTensor StoredTensor::dense(std::shared_ptr<const MappedFile> file, size_t offset, DType dtype, const Shape& shape) {
  StoredTensor tensor{std::move(file), dtype, shape, {}, offset, static_cast<size_t>(shape.elements()) * dtype_size(dtype)};
  int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    tensor.strides[static_cast<size_t>(axis)] = stride;
    stride *= shape[axis];
  }
  return tensor;
}

CheckpointFiles read_safetensors_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  CheckpointFiles result;
  for (const SafetensorsEntry& entry : parse_safetensors_header(file->bytes(), path.string()).entries) {
    result.tensors.emplace(entry.name, StoredTensor::dense(file, entry.begin, entry.dtype, entry.shape));
  }
  return result;
}

}  // namespace vitrine
