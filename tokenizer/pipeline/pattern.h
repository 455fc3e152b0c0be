// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/pipeline/aligned_text.h"
#include "tokenizer/pipeline/regex.h"

namespace vitrine::internal {

/// Reads "pattern", which is {"String": TEXT} or {"Regex": PATTERN}.
Regex read_pattern(const Json& json, const std::string& where);

/// What becomes of the matches that a text is cut at.
enum class SplitBehavior { kRemoved, kIsolated, kContiguous, kMergedWithPrevious, kMergedWithNext };

/// Reads such a name as tokenizer.json spells it ("MergedWithNext").
SplitBehavior read_split_behavior(const JsonFields& fields, SplitBehavior if_absent);

/// Characters for which `is` holds, each a match, and what lies between.
std::vector<TextMatch> split_characters(std::string_view text,
                                        const std::function<bool(char32_t)>& is);
/// Appends the parts of `text`, none of which is empty.
void cut(const AlignedText& text, std::vector<TextMatch> matches, SplitBehavior behavior,
         std::vector<AlignedText>& out);

/// The characters that spell the text's bytes, as byte-level vocabularies have them.
std::vector<NewCharacter> byte_spelling(std::string_view text);

}  // namespace vitrine::internal
