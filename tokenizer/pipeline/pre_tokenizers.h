// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/pipeline/aligned_text.h"

namespace vitrine::internal {

/// Cuts a text into words, which it may change; none of them is empty.
using PreTokenizer = std::function<void(AlignedText text, std::vector<AlignedText>& words)>;

/// Reads "pre_tokenizer" of a tokenizer.json. Throws Error (user), which calls it `where`, for a
/// type or a value that is not supported.
PreTokenizer read_pre_tokenizer(const Json& json, const std::string& where);

/// The character that replaces a space, and where a text gets one before it.
struct Metaspace {
  enum class Prepend { kAlways, kFirst, kNever };
  char32_t replacement = 0x2581;
  Prepend prepend = Prepend::kAlways;
};
Metaspace read_metaspace(const JsonFields& fields);

}  // namespace vitrine::internal
