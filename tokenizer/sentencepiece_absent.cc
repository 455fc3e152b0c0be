// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "tokenizer/loaders.h"

// Replacement for SentencePiece, in builds without it.

namespace vitrine::internal {

std::shared_ptr<const Tokenizer> parse_sentencepiece(std::string_view, const std::string& file,
                                                     const FolderSettings&) {
  user_error(
      "{}: this build reads no SentencePiece models: expected tokenizer.json, or rebuild with "
      "-DVITRINE_SENTENCEPIECE=ON",
      file);
}

}  // namespace vitrine::internal
