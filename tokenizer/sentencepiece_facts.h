// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace vitrine::internal {

/// What a SentencePiece model says about itself and the library's interface does not tell.
struct SentencePieceFacts {
  std::string_view algorithm = "unigram";  ///< unigram, BPE, word or char
  std::string unknown_text = " \u2047 ";   ///< what the unknown token decodes to
  bool add_dummy_prefix = true;            ///< text gets a space before it
  bool remove_extra_whitespaces = true;
  bool byte_fallback = false;     ///< characters without a piece are spelled in bytes
  bool has_user_defined = false;  ///< pieces that are found before all others
};

/// Reads the model's protocol buffer, and checks what the library would trust: its own reading of a
/// damaged table of normalisations leaves the table. Throws Error (user), which calls the model
/// `file`.
SentencePieceFacts read_sentencepiece_facts(std::string_view model, const std::string& file);

}  // namespace vitrine::internal
