// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/xxhash64.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/merges.h"
#include "tokenizer/word_cache.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// What the files of a byte-level BPE say, checked: every id below is an index of `tokens`.
struct BpeSpec {
  std::vector<std::string> tokens;  ///< the bytes of each token, by id
  std::vector<bool>
      mergeable;  ///< false: no text becomes it by merging (added, or not spelled in bytes)
  std::array<int32_t, 256> byte_ids{};  ///< the tokens of the single bytes; -1: there is none
  std::vector<MergeRule> merges;
  std::vector<AddedToken> added;
  bool add_prefix_space =
      false;  ///< text (between added tokens) that does not begin with a space gets one
  bool split_words = true;  ///< GPT-2's pre-tokenisation; otherwise merges run across words
  bool ignore_merges =
      false;  ///< a word that is a token is that token, whatever the merges make of it
  TextEnds ends;
};

/// Byte-level BPE, as GPT-2 has it.
class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeSpec spec);

  std::vector<int32_t> encode(std::string_view text, Special special) const override;
  std::vector<Piece> encode_with_spans(std::string_view text, Special special) const override;
  std::string token_bytes(int32_t id) const override;
  std::optional<int32_t> find_special(std::string_view name) const override;
  std::optional<int32_t> end_of_text() const override { return ends_.end; }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  std::string description() const override;
  std::optional<int32_t> begin_of_text() const override { return ends_.begin; }
  const Frame& frame() const override { return ends_.frame; }

 protected:
  std::unique_ptr<Decoding> start_decoding() const override;

 private:
  class TextRun;
  bool wants_prefix_space(std::string_view text) const {
    return add_prefix_space_ && text[0] != ' ';
  }
  void encode_text(std::string_view text, WordCache& cache, std::vector<int32_t>& out) const;
  void encode_words(std::string_view text, WordCache& cache, std::vector<int32_t>& out) const;
  void encode_window(const WordWindow& window, WordCache& cache, IdBuffer& buffer) const;
  void encode_window_word(std::string_view word, WordCache& cache, IdBuffer& buffer) const;
  void encode_word(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const;

  std::vector<std::string> tokens_;
  MergeTable merges_;
  AddedTokens added_;
  std::unordered_map<std::string_view, int32_t, SecretHash>
      whole_words_;  // with ignore_merges: views of tokens_
  bool add_prefix_space_, split_words_;
  TextEnds ends_;
  mutable WordCachePool caches_;
};

}  // namespace vitrine::internal
