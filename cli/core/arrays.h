// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vitrine/tensor.h"

namespace vitrine::cli {

// Results as arrays in one .safetensors file, for the commands' --out.

using Arrays = std::vector<std::pair<std::string, Tensor>>;

/// A tensor with a copy of the values, which are of the dtype's size.
template <typename T>
Tensor tensor_of(DType dtype, const std::vector<T>& values, const Shape& shape) {
  Tensor tensor(dtype, shape);
  std::memcpy(tensor.data(), values.data(), values.size() * sizeof(T));
  return tensor;
}

/// Throws Error (user) at once for a path that is no .safetensors file.
void check_array_path(const std::string& path);

/// Throws Error (user) as SafetensorsWriter does.
void write_arrays(const std::string& path, const Arrays& arrays,
                  const std::map<std::string, std::string>& metadata);

}  // namespace vitrine::cli
