// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/xxhash64.h"
#include "tokenizer/merges.h"

namespace vitrine::internal {

/// Names of tokens and their ids, which may leave gaps.
class Vocab {
 public:
  /// Throws Error (user), which calls the vocabulary `where`, for an id that is not one, or a
  /// second token with the same id.
  void add(std::string name, int64_t id, const std::string& where);
  /// The token's id, or -1.
  int32_t find(std::string_view name) const;
  /// Empty for an id in a gap.
  const std::string& name(int32_t id) const { return names_[static_cast<size_t>(id)]; }
  /// Ids are below this.
  int32_t size() const { return static_cast<int32_t>(names_.size()); }
  /// How many tokens there are.
  int32_t count() const { return static_cast<int32_t>(ids_.size()); }
  /// Bytes of the longest name.
  size_t longest() const { return longest_; }

 private:
  std::unordered_map<std::string, int32_t, SecretHash, std::equal_to<>> ids_;
  std::vector<std::string> names_;
  std::vector<bool> used_;
  size_t longest_ = 0;
};

struct WordToken {
  int32_t id;
  size_t begin, end;  ///< bytes of the word
};

/// Memory that a text's words share.
struct WordMemory {
  MergeTable::Scratch merging;
  std::vector<int32_t> ids;
  std::vector<size_t> ends;
  std::vector<MergeTable::Merged> merged;
};

/// Makes tokens of one word. Immutable.
class WordModel {
 public:
  virtual ~WordModel() = default;
  /// Appends the tokens of `word`, which is not empty. Throws Error (user) if the word is unknown
  /// and the vocabulary has no token for that.
  virtual void tokenize(std::string_view word, WordMemory& memory,
                        std::vector<WordToken>& out) const = 0;
  virtual std::string_view kind() const = 0;
  const Vocab& vocab() const { return vocab_; }

 protected:
  explicit WordModel(Vocab vocab) : vocab_(std::move(vocab)) {}
  /// The ids of the tokens "<0x41>" for all bytes of `text`; none if one of them is missing.
  std::optional<std::vector<int32_t>> byte_tokens(std::string_view text) const;
  /// Throws Error (user) for a missing token of unknown text.
  [[noreturn]] void refuse_unknown(std::string_view text, std::string_view unknown_token) const;

 private:
  Vocab vocab_;
};

/// Reads "model" of a tokenizer.json. Throws Error (user), which calls it `where`.
std::unique_ptr<WordModel> read_word_model(const Json& json, const std::string& where);

std::unique_ptr<WordModel> read_bpe(const Json& json, const std::string& where);
std::unique_ptr<WordModel> read_unigram(const Json& json, const std::string& where);
/// `vocab` with BERT's settings, unless the arguments say otherwise.
std::unique_ptr<WordModel> make_word_piece(Vocab vocab, std::string unknown = "[UNK]",
                                           std::string prefix = "##", size_t max_characters = 100);

/// Reads {"NAME": ID, ...}.
Vocab read_vocab(const JsonFields& model, const std::string& where);

}  // namespace vitrine::internal
