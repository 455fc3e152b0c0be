// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/bpe.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// Maximum size of a tokenizer file; GPT-2's tokenizer.json is 1.4 MB.
inline constexpr size_t kMaxTokenizerBytes = 256u << 20;

/// Reads the contents of a tokenizer.json, named `file` in errors. Settings that change tokens are
/// applied or rejected by name. `truncation`, `padding` and `post_processor` are ignored: they
/// concern the caller's model input.
BpeSpec parse_tokenizer_json(std::string_view contents, const std::string& file);

/// Reads GPT-2's pair of files. "<|endoftext|>", where the vocabulary has it, is a special token;
/// there are no others.
BpeSpec parse_vocab_and_merges(std::string_view vocab, const std::string& vocab_file,
                               std::string_view merges, const std::string& merges_file);

/// Reads the contents of a SentencePiece model, which errors call `file`.
std::shared_ptr<const Tokenizer> parse_sentencepiece(std::string_view contents,
                                                     const std::string& file);

}  // namespace vitrine::internal
