// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace vitrine::internal {

inline constexpr char32_t kReplacement = 0xFFFD;

void append_utf8(char32_t character, std::string& out);

/// Calls take(character, begin, end) for each character of `text`, which is UTF-8.
template <typename Take>
void for_each_character(std::string_view text, const Take& take) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.substr(at, 4));
    take(step.code_point, at, at + step.length);
    at += step.length;
  }
}

size_t count_characters(std::string_view text);

// The properties of characters that the stages need, as the libraries of Hugging Face tokenizers
// define them.

bool is_white_space(char32_t c);        ///< Unicode's White_Space
bool is_numeric(char32_t c);            ///< Nd, Nl, No
bool is_punctuation(char32_t c);        ///< P, and the ASCII symbols
bool is_word(char32_t c);               ///< \w: letters, marks, digits, connectors and joiners
bool is_mark(char32_t c);               ///< M
bool is_spacing_free_mark(char32_t c);  ///< Mn
bool is_other(char32_t c);              ///< Cc, Cf, Co
/// Appends the lower-case form, which has up to two characters.
void append_lower(char32_t c, std::vector<char32_t>& out);

/// Ranges of code points in the syntax of regular expressions, without the brackets.
extern const char kWhiteSpaceRanges[];
extern const char kNotWhiteSpaceRanges[];
extern const char kWordRanges[];

}  // namespace vitrine::internal
