// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/tensor.h"

namespace vitrine::internal {

struct GgufTensor {
  std::string name;
  Shape shape;  ///< row-major: ggml's dimensions backwards
  uint32_t type = 0;
  uint64_t begin = 0;  ///< from the start of the file; not checked against it
};

/// An array of the header as it is stored: every element is inside the file.
struct GgufArray {
  uint32_t type = 0;
  uint64_t count = 0;
  std::span<const std::byte> bytes;
};

/// The values of a GGUF file's header, by name.
struct GgufHeader {
  std::map<std::string, double, std::less<>> numbers;
  std::map<std::string, std::string, std::less<>> texts;
  std::map<std::string, GgufArray, std::less<>> arrays;
  std::vector<GgufTensor> tensors;

  /// The elements of an array, the texts in the file's memory. Throw Error (user) for one that is
  /// missing or of another type; `path` is what errors call the file.
  std::vector<std::string_view> texts_of(std::string_view name, const std::string& path) const;
  std::vector<int32_t> integers_of(std::string_view name, const std::string& path) const;
};

/// Throws Error (user) for a file that is truncated or not of version 2 or 3. `path` is what errors
/// call it.
GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& path);

}  // namespace vitrine::internal
