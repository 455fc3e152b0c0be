// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tokenizer/window_masks.h"

namespace vitrine::internal {

/// GPT-2's pre-tokenisation, which cuts text into the words that byte-pair merges stay inside:
///
///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///
/// The words cover the text. A byte that is not part of valid UTF-8 is a character of its own, of
/// the third kind (neither white space, letter nor number).
///
/// Returns the end of the word that starts at `begin` < text.size().
size_t word_end(std::string_view text, size_t begin);

/// The same for many words at once: bit i of the result says that a word starts at window[i], where
/// window[0] is the start of one. Reads kWordWindow bytes. Words between two neighbouring bits are
/// complete. The result does not cover the bytes after the last bit: at least the last two bytes,
/// and everything from shortly before the first byte beyond ASCII.
uint64_t word_starts(const char* window);

}  // namespace vitrine::internal
