// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/analysis/word_spans.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// A draw of one of the two kinds: the masked positions, ascending.
struct MaskDraw {
  std::vector<int64_t> spans, scattered = {};
};

/// The first token of each word. A token goes on with the word before it if neither has a blank or
/// a sign (other than an apostrophe) where they meet. Without a tokenizer every token is a word.
std::vector<int64_t> word_begins(const Tokenizer* tokenizer, std::span<const int32_t> ids);

/// Maps a uniform number in [0, 1) to a length in words, 1 .. longest.
int span_length(const SpanOptions& options, double uniform);

/// Masks of a text of `tokens` tokens, words beginning at `words`: spans as SpanBERT draws them
/// (Joshi 2020, section 3.1), from a word on that is not masked yet, whole words only, until no
/// word fits into the budget; and as many tokens drawn one by one. A function of the seed and the
/// draw alone.
MaskDraw draw_masks(const SpanOptions& options, std::span<const int64_t> words, int64_t tokens,
                    int draw);

}  // namespace vitrine::internal
