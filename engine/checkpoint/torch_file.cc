// SPDX-License-Identifier: MIT
#include "vitrine/checkpoint/torch_file.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/quote.h"
#include "engine/checkpoint/files.h"

namespace vitrine {
using namespace internal;
namespace {

/// The elements in row-major order, whatever their strides.
Tensor copy_of(const StoredTensor& stored) {
  const size_t size = dtype_size(stored.dtype);
  Tensor tensor(stored.dtype, stored.shape);
  auto* to = static_cast<std::byte*>(tensor.data());
  const std::byte* from = stored.file->data() + stored.offset;
  const int rank = stored.shape.rank();
  std::array<int64_t, Shape::kMaxRank> index{};
  for (int64_t i = 0; i < stored.shape.elements(); ++i) {
    int64_t element = 0;
    for (int axis = 0; axis < rank; ++axis)
      element += index[static_cast<size_t>(axis)] * stored.strides[static_cast<size_t>(axis)];
    std::memcpy(to + static_cast<size_t>(i) * size, from + static_cast<size_t>(element) * size,
                size);
    for (int axis = rank - 1; axis >= 0 && ++index[static_cast<size_t>(axis)] == stored.shape[axis];
         --axis)
      index[static_cast<size_t>(axis)] = 0;
  }
  return tensor;
}

}  // namespace

std::map<std::string, Tensor> load_torch_tensors(const std::filesystem::path& path) {
  std::map<std::string, Tensor> tensors;
  CopyBudget budget;
  const CheckpointFiles files = read_torch_file(path);
  for (const auto& [name, stored] : files.tensors) {
    budget.take(stored, fmt::format("{}: tensor {}", path.string(), quote(name)));
    tensors.emplace(name, copy_of(stored));
  }
  return tensors;
}

}  // namespace vitrine
