// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/checkpoint/files.h"

namespace vitrine::internal {

/// A parameter of the model, and where its values come from.
struct NamedTensor {
  std::string name_in_file;
  StoredTensor tensor;
  bool is_table = false;  ///< [tokens or positions, width], as the file has it
  /// Makes the values, float32 and row-major, of a parameter that no file holds as such; `tensor`
  /// has its shape. Null: they are the tensor's.
  std::function<std::vector<float>()> make = {};

  /// Whether the values can be used where they lie, in the tensor's dtype.
  bool in_place() const { return !make && tensor.dtype != DType::kF64; }
};

/// By Hugging Face's names without a prefix.
using NamedTensors = std::map<std::string, NamedTensor, std::less<>>;

/// "FILE: tensor 'NAME'", as errors begin.
std::string where(const NamedTensor& named);

/// Element `at` of floats of any dtype, as float32.
float element(const void* data, DType dtype, size_t at);

/// The values as float32, row-major. Throws Error (user) for an element of float64 that is not a
/// number of float32.
std::vector<float> values_of(const NamedTensor& named);

/// Whether two matrices of the same shape are one matrix stored twice: equal in value or, of
/// different dtypes, where the narrower one has the rounded values of the other.
bool same_matrix(const NamedTensor& a, const NamedTensor& b);

/// The rows of a table with a NaN or infinity, in order. `data`: its first element.
std::vector<int32_t> non_finite_rows(const StoredTensor& table, const std::byte* data);

}  // namespace vitrine::internal
