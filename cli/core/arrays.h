// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/tensor.h"

namespace vitrine::cli {

// Results as arrays in one .safetensors file, or each in a .npy file of a folder, for the commands'
// --out.

using Arrays = std::vector<std::pair<std::string, Tensor>>;

/// A tensor with a copy of the values, which are of the dtype's size.
template <typename T>
Tensor tensor_of(DType dtype, const std::vector<T>& values, const Shape& shape) {
  Tensor tensor(dtype, shape);
  std::memcpy(tensor.data(), values.data(), values.size() * sizeof(T));
  return tensor;
}

/// Throws Error (user) at once for a path other than a .safetensors file; `or_else`: what else was
/// expected.
void check_array_path(const std::string& path, std::string_view or_else = {});

/// Whether a path is a folder's: as for captures, one that ends in '/', is there as a folder, or
/// has no extension.
bool is_array_folder(const std::string& path);
/// Without the '/' at its end.
std::filesystem::path folder_path(const std::string& path);
/// The file of an array in such a folder.
std::string array_file(const std::string& folder, const std::string& name);

/// One file, or a folder of NAME.npy and index.json. Throws Error (user) as SafetensorsWriter and
/// AtomicFolder do.
void write_arrays(const std::string& path, const Arrays& arrays,
                  const std::map<std::string, std::string>& metadata);

}  // namespace vitrine::cli
