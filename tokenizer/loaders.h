// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/bpe.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// Files longer than this are refused; GPT-2's tokenizer.json is 1.4 MB.
inline constexpr size_t kMaxTokenizerBytes = 256u << 20;

/// Reads the contents of a tokenizer.json, which errors call `file`. What changes tokens is
/// honoured or refused by name; `truncation`, `padding` and `post_processor` are for whoever builds
/// a model's input from the tokens, and are not read.
BpeSpec parse_tokenizer_json(std::string_view contents, const std::string& file);

/// Reads GPT-2's pair of files. "<|endoftext|>", where the vocabulary has it, is a special token;
/// there are no others.
BpeSpec parse_vocab_and_merges(std::string_view vocab, const std::string& vocab_file,
                               std::string_view merges, const std::string& merges_file);

/// Reads the contents of a SentencePiece model, which errors call `file`.
std::shared_ptr<const Tokenizer> parse_sentencepiece(std::string_view contents,
                                                     const std::string& file);

}  // namespace vitrine::internal
