// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "tokenizer/pipeline/aligned_text.h"

namespace vitrine::internal {

/// A text as GPT-SW3's tokenizer gives it to SentencePiece: without control characters and without
/// spaces that cannot be seen or broken, with one kind of space, in NFC.
AlignedText swedish_text(std::string_view text);

}  // namespace vitrine::internal
