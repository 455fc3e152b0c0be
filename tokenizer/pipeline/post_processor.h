// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/json.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// Reads "post_processor" of a tokenizer.json: the tokens around one text. Throws Error (user),
/// which calls it `where`, for a type or a value that is not supported.
Tokenizer::Frame read_post_processor(const Json& json, const std::string& where);

}  // namespace vitrine::internal
