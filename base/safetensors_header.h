// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// One tensor of a safetensors file: its elements are the file's bytes [begin, end).
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::string unknown_dtype = {};  ///< the file's name of a dtype that is none of DType's, or empty
  Shape shape;
  size_t begin = 0, end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// The largest header that is read, the limit of the reference implementation.
inline constexpr size_t kMaxSafetensorsHeader = 100'000'000;

/// Reads the header of the safetensors file whose bytes are `file` and checks everything it says
/// against the file: when it returns, every [begin, end) lies inside the file, is as long as dtype
/// and shape say, and together they cover the data exactly once. `path` is for errors. Throws Error
/// (user).
/// `unknown_dtypes`: tensors of dtypes that are none of DType's are entries, too, with the name of
/// theirs; else they are refused.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& path,
                                           bool unknown_dtypes = false);

/// The names of dtypes in a header: "F32", "BF16", "BOOL".
std::string safetensors_dtype_name(DType dtype);

}  // namespace vitrine::internal
