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

/// The values of a GGUF file's header that a reader of weights needs: numbers and texts by name.
/// Arrays (the tokenizer) are passed over.
struct GgufHeader {
  std::map<std::string, double, std::less<>> numbers;
  std::map<std::string, std::string, std::less<>> texts;
  std::vector<std::string> arrays;  ///< their names
  std::vector<GgufTensor> tensors;
};

/// Throws Error (user) for a file that is truncated or not of version 2 or 3. `path` is what errors
/// call it.
GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& path);

}  // namespace vitrine::internal
