// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizer/bpe.h"
#include "tokenizer/folder_settings.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// Maximum size of a tokenizer file; GPT-2's tokenizer.json is 1.4 MB.
inline constexpr size_t kMaxTokenizerBytes = 256u << 20;

/// Maximum id of a token. Ids are places in a table, so a gap costs memory; the largest
/// vocabularies have 0.3 million tokens.
inline constexpr int32_t kMaxTokenId = 16 << 20;

/// Reads the contents of a tokenizer.json, named `file` in errors. Settings that change tokens are
/// applied or rejected by name. `truncation` and `padding` are ignored: they concern the caller's
/// model input, and transformers sets them itself.
std::shared_ptr<const Tokenizer> parse_tokenizer_json(std::string_view contents,
                                                      const std::string& file);
std::shared_ptr<const Tokenizer> tokenizer_of_json(const Json& root, const std::string& file,
                                                   const FolderSettings& settings = {});
/// Where texts begin and end by a tokenizer.json and the files beside it.
TextEnds ends_of(const Json& root, const std::string& file, const FolderSettings& settings,
                 const std::vector<AddedToken>& added);
/// What add_bos_token and add_eos_token say of the tokens around a text; nothing if both are
/// absent.
void frame_as_set(const FolderSettings& settings, TextEnds& ends);

/// The tokenizer.json of BERT's vocab.txt, one token a line.
Json bert_tokenizer_json(std::string_view vocab_text, const std::string& file,
                         const FolderSettings& settings);

/// Reads llm.c's gpt2_tokenizer.bin, which lists tokens without their merges.
BpeSpec parse_llmc_vocab(std::string_view contents, const std::string& file);

/// Whether a tokenizer.json is byte-level BPE as GPT-2 has it, with a token for each byte: for
/// that, BpeTokenizer is much faster than stages.
bool is_plain_bpe(const Json& root);
/// Reads one that is.
BpeSpec parse_plain_bpe(const Json& root, const std::string& file);

/// Reads "added_tokens" of a tokenizer.json.
std::vector<AddedToken> read_added_tokens(const JsonFields& root, const std::string& file);
/// Throws Error (user) for an empty one, and for two that compete for white space.
void check_added_tokens(const std::vector<AddedToken>& tokens, const std::string& file);
/// Gives the tokens the ids that tokenizers gives them, whatever the file says: that of the model's
/// token with the same name (`find`, which gives -1 for none), or the next after the model's.
void number_added_tokens(std::vector<AddedToken>& tokens, int32_t model_tokens,
                         const std::function<int32_t(const std::string&)>& find);

/// Reads GPT-2's pair of files, of which `vocab` is parsed already.
BpeSpec parse_pair(const Json& vocab, const std::string& vocab_file, std::string_view merges,
                   const std::string& merges_file, std::vector<AddedToken> added);

/// Reads GPT-2's pair of files. "<|endoftext|>", where the vocabulary has it, is a special token;
/// there are no others.
BpeSpec parse_vocab_and_merges(std::string_view vocab, const std::string& vocab_file,
                               std::string_view merges, const std::string& merges_file);

/// Reads the contents of a SentencePiece model, which errors call `file`.
std::shared_ptr<const Tokenizer> parse_sentencepiece(std::string_view contents,
                                                     const std::string& file,
                                                     const FolderSettings& settings = {});

}  // namespace vitrine::internal
