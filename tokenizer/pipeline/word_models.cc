// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/word_models.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "tokenizer/loaders.h"
#include "tokenizer/pipeline/characters.h"

namespace vitrine::internal {
namespace {

class WordPiece : public WordModel {
 public:
  WordPiece(Vocab vocab, std::string unknown, std::string prefix, size_t max_characters)
      : WordModel(std::move(vocab)),
        unknown_(std::move(unknown)),
        prefix_(std::move(prefix)),
        max_characters_(max_characters) {}
  std::string_view kind() const override { return "WordPiece"; }

  void tokenize(std::string_view word, WordMemory&, std::vector<WordToken>& out) const override {
    const size_t before = out.size();
    if (count_characters(word) <= max_characters_) {
      size_t begin = 0;
      while (begin < word.size() && add_longest(word, begin, out)) begin = out.back().end;
      if (begin == word.size()) return;
    }
    out.resize(before);
    const int32_t id = vocab().find(unknown_);
    if (id < 0) refuse_unknown(word, unknown_);
    out.push_back({id, 0, word.size()});
  }

 private:
  // The longest token that the rest of the word begins with.
  bool add_longest(std::string_view word, size_t begin, std::vector<WordToken>& out) const {
    std::string name = begin > 0 ? prefix_ : "";
    const size_t prefix = name.size();
    size_t length = std::min(word.size() - begin, vocab().longest());
    name += word.substr(begin, length);
    for (; length > 0; --length) {
      name.resize(prefix + length);
      const bool whole = begin + length == word.size() ||
                         (static_cast<unsigned char>(word[begin + length]) & 0xC0) != 0x80;
      if (!whole) continue;
      if (const int32_t id = vocab().find(name); id >= 0) {
        out.push_back({id, begin, begin + length});
        return true;
      }
    }
    return false;
  }

  std::string unknown_, prefix_;
  size_t max_characters_;
};

class WordLevel : public WordModel {
 public:
  WordLevel(Vocab vocab, std::string unknown)
      : WordModel(std::move(vocab)), unknown_(std::move(unknown)) {}
  std::string_view kind() const override { return "WordLevel"; }

  void tokenize(std::string_view word, WordMemory&, std::vector<WordToken>& out) const override {
    int32_t id = vocab().find(word);
    if (id < 0) id = vocab().find(unknown_);
    if (id < 0) refuse_unknown(word, unknown_);
    out.push_back({id, 0, word.size()});
  }

 private:
  std::string unknown_;
};

std::string type_of(const JsonFields& model) {
  if (const auto type = model.text("type")) return *type;
  // Old files do not say.
  if (model.has("merges")) return "BPE";
  if (model.has("continuing_subword_prefix")) return "WordPiece";
  const Json* const vocab = model.find("vocab");
  return vocab && vocab->is_array() ? "Unigram" : "WordLevel";
}

}  // namespace

void Vocab::add(std::string name, int64_t id, const std::string& where) {
  if (id < 0 || id > kMaxTokenId)
    user_error("{}: the id of {} is {}: expected 0 to {}", where, quote(name), id, kMaxTokenId);
  const auto place = static_cast<size_t>(id);
  if (place >= names_.size()) {
    names_.resize(place + 1);
    used_.resize(place + 1);
  }
  if (used_[place])
    user_error("{}: {} and {} have the same id {}: expected one id per token", where,
               quote(names_[place]), quote(name), id);
  used_[place] = true;
  longest_ = std::max(longest_, name.size());
  names_[place] = name;
  ids_.insert_or_assign(std::move(name), static_cast<int32_t>(id));
}

int32_t Vocab::find(std::string_view name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? -1 : found->second;
}

std::optional<std::vector<int32_t>> WordModel::byte_tokens(std::string_view text) const {
  std::vector<int32_t> ids;
  for (const char byte : text) {
    const int32_t id = vocab().find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
    if (id < 0) return std::nullopt;
    ids.push_back(id);
  }
  return ids;
}

void WordModel::refuse_unknown(std::string_view text, std::string_view unknown_token) const {
  user_error(
      "the vocabulary ({}, {} tokens) has neither {} nor the token {} for unknown text: use other "
      "text, or a complete tokenizer",
      kind(), vocab().size(), quote(text), quote(unknown_token));
}

Vocab read_vocab(const JsonFields& model, const std::string& where) {
  const Json* const list = model.find("vocab");
  if (!list) model.refuse("vocab", "expected an object of token names and ids");
  const std::string what = where + ".vocab";
  if (!list->is_object() || list->empty())
    user_error("{}: is {}: expected an object of token names and ids", what, describe_json(*list));
  Vocab vocab;
  for (const auto& [name, id] : list->items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t{INT32_MAX})
      user_error("{}: the id of {} is {}: expected an integer >= 0", what, quote(name),
                 describe_json(id));
    vocab.add(name, id.get<int64_t>(), what);
  }
  return vocab;
}

std::unique_ptr<WordModel> make_word_piece(Vocab vocab, std::string unknown, std::string prefix,
                                           size_t max_characters) {
  return std::make_unique<WordPiece>(std::move(vocab), std::move(unknown), std::move(prefix),
                                     max_characters);
}

std::unique_ptr<WordModel> read_word_model(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = type_of(fields);
  if (type == "BPE") return read_bpe(json, where);
  if (type == "Unigram") return read_unigram(json, where);
  const std::string unknown =
      fields.text("unk_token").value_or(type == "WordLevel" ? "<unk>" : "[UNK]");
  if (type == "WordLevel") return std::make_unique<WordLevel>(read_vocab(fields, where), unknown);
  if (type != "WordPiece") fields.refuse("type", "expected BPE, Unigram, WordLevel or WordPiece");
  const auto characters = fields.integer("max_input_chars_per_word", 0, INT32_MAX).value_or(100);
  return make_word_piece(read_vocab(fields, where), unknown,
                         fields.text("continuing_subword_prefix").value_or("##"),
                         static_cast<size_t>(characters));
}

}  // namespace vitrine::internal
