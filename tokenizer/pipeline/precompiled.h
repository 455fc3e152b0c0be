// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/json.h"
#include "tokenizer/pipeline/normalizers.h"

namespace vitrine::internal {

/// Reads a Precompiled normalizer: SentencePiece's table of replacements, in base 64.
Normalizer read_precompiled(const JsonFields& fields, const std::string& where);

}  // namespace vitrine::internal
