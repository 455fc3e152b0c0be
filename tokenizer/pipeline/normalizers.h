// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "tokenizer/pipeline/aligned_text.h"

namespace vitrine::internal {

/// Changes a text before it is cut.
using Normalizer = std::function<void(AlignedText&)>;

/// Reads "normalizer" of a tokenizer.json. Throws Error (user), which calls it `where`, for a type
/// or a value that is not supported.
Normalizer read_normalizer(const Json& json, const std::string& where);

/// What the stages of a tokenizer.json have in common: the name of a part's type.
std::string stage_type(const Json& json, const std::string& where);
/// A list inside a part, such as the parts of a Sequence.
const Json& stage_list(const Json& json, const char* name, const std::string& where);

}  // namespace vitrine::internal
