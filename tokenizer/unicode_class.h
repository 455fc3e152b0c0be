// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine::internal {

#include "tokenizer/unicode_tables.inc"

/// What GPT-2's pre-tokenisation tells apart: \p{L}, \p{N}, \s and the rest, as of Unicode 16.0.
enum class CharClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

/// `code_point` is at most U+10FFFF.
constexpr CharClass char_class(char32_t code_point) {
  const uint8_t four = kClassBlocks[kClassIndex[code_point >> 8]][(code_point & 0xFF) >> 2];
  return static_cast<CharClass>(four >> (2 * (code_point & 3)) & 3);
}

}  // namespace vitrine::internal
