// SPDX-License-Identifier: MIT
#include <array>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "base/xxhash64.h"
#include "tokenizer/merge_list.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/pipeline/word_models.h"

namespace vitrine::internal {
namespace {

struct BpeSettings {
  std::string unknown;         ///< empty: unknown characters are dropped
  std::string prefix;          ///< of tokens that do not begin a word
  std::string suffix;          ///< of tokens that end a word
  bool fuse_unknown = false;   ///< unknown characters in a row are one token
  bool byte_fallback = false;  ///< an unknown character is its bytes
  bool ignore_merges = false;  ///< a word that is a token is that token
};

class Bpe : public WordModel {
 public:
  Bpe(Vocab vocab, const std::vector<MergeRule>& rules, BpeSettings settings)
      : WordModel(std::move(vocab)), settings_(std::move(settings)), merges_(no_bytes(), rules) {}
  std::string_view kind() const override { return "BPE"; }
  void tokenize(std::string_view word, WordMemory& memory,
                std::vector<WordToken>& out) const override;

 private:
  static std::array<int32_t, 256> no_bytes() {
    std::array<int32_t, 256> ids;
    ids.fill(-1);
    return ids;
  }
  void read_characters(std::string_view word, WordMemory& memory) const;

  BpeSettings settings_;
  MergeTable merges_;
};

/// Unknown characters that are not yet a token.
struct Unknown {
  int32_t id = -1;  // none
  size_t end = 0;
};

// The tokens of the single characters, with their ends. A character without a token and without a
// replacement has none; its bytes are then in no token.
void Bpe::read_characters(std::string_view word, WordMemory& memory) const {
  Unknown unknown;
  const auto add = [&](int32_t id, size_t end) {
    memory.ids.push_back(id);
    memory.ends.push_back(end);
  };
  const auto flush = [&] {
    if (unknown.id >= 0) add(unknown.id, unknown.end);
    unknown.id = -1;
  };
  for_each_character(word, [&](char32_t, size_t begin, size_t end) {
    std::string name;
    if (begin > 0) name = settings_.prefix;
    name += word.substr(begin, end - begin);
    if (end == word.size()) name += settings_.suffix;
    if (const int32_t id = vocab().find(name); id >= 0) {
      flush();
      return add(id, end);
    }
    if (settings_.byte_fallback) {
      if (const auto bytes = byte_tokens(name)) {
        for (size_t i = 0; i < bytes->size(); ++i) add((*bytes)[i], std::min(begin + i + 1, end));
        return;
      }
    }
    if (settings_.unknown.empty()) return;
    if (!settings_.fuse_unknown) flush();
    unknown = {vocab().find(settings_.unknown), end};
    if (unknown.id < 0) refuse_unknown(name, settings_.unknown);
  });
  flush();
}

void Bpe::tokenize(std::string_view word, WordMemory& memory, std::vector<WordToken>& out) const {
  if (settings_.ignore_merges) {
    if (const int32_t id = vocab().find(word); id >= 0) {
      out.push_back({id, 0, word.size()});
      return;
    }
  }
  memory.ids.clear();
  memory.ends.clear();
  memory.merged.clear();
  read_characters(word, memory);
  merges_.merge(memory.ids, memory.merging, memory.merged);
  for (size_t i = 0; i < memory.merged.size(); ++i) {
    const size_t first = memory.merged[i].first;
    const size_t next =
        i + 1 < memory.merged.size() ? memory.merged[i + 1].first : memory.ids.size();
    const size_t begin = first == 0 ? 0 : memory.ends[first - 1];
    out.push_back({memory.merged[i].id, begin, memory.ends[next - 1]});
  }
}

/// Finds the tokens of merges. Of two merges of one pair the later counts, as in tokenizers.
class RuleReader {
 public:
  RuleReader(const Vocab& vocab, size_t prefix, const std::string& where)
      : vocab_(vocab), prefix_(prefix), where_(where) {}

  void add(std::string_view left, std::string_view right, size_t number) {
    const int32_t a = find(left, number), b = find(right, number);
    const std::string product =
        std::string(left) + std::string(right.substr(std::min(prefix_, right.size())));
    const auto pair = uint64_t{static_cast<uint32_t>(a)} << 32 | static_cast<uint32_t>(b);
    const auto [place, is_new] = places_.emplace(pair, rules_.size());
    if (!is_new) {
      rules_[place->second].product = -1;
      place->second = rules_.size();
    }
    rules_.push_back({a, b, find(product, number)});
  }
  std::vector<MergeRule> take() {
    std::erase_if(rules_, [](const MergeRule& rule) { return rule.product < 0; });
    return std::move(rules_);
  }

 private:
  int32_t find(std::string_view name, size_t number) const {
    const int32_t id = vocab_.find(name);
    if (id < 0) {
      user_error(
          "{}: merge {} needs the token {}, which is missing in {}.vocab: expected a complete file "
          "of one tokenizer",
          where_, number, quote(name), where_);
    }
    return id;
  }

  const Vocab& vocab_;
  size_t prefix_;
  const std::string& where_;
  std::unordered_map<uint64_t, size_t, SecretHash> places_;
  std::vector<MergeRule> rules_;
};

}  // namespace

std::unique_ptr<WordModel> read_bpe(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  if (const Json* dropout = fields.find("dropout"); dropout && *dropout != 0)
    fields.refuse("dropout", "expected null, because dropout is for training only");
  BpeSettings settings;
  settings.unknown = fields.text("unk_token").value_or("");
  settings.prefix = fields.text("continuing_subword_prefix").value_or("");
  settings.suffix = fields.text("end_of_word_suffix").value_or("");
  settings.fuse_unknown = fields.boolean("fuse_unk").value_or(false);
  settings.byte_fallback = fields.boolean("byte_fallback").value_or(false);
  settings.ignore_merges = fields.boolean("ignore_merges").value_or(false);
  Vocab vocab = read_vocab(fields, where);
  RuleReader rules(vocab, settings.prefix.size(), where);
  for_each_merge(fields, where, [&](std::string_view left, std::string_view right, size_t number) {
    rules.add(left, right, number);
  });
  std::vector<MergeRule> list = rules.take();
  return std::make_unique<Bpe>(std::move(vocab), list, std::move(settings));
}

}  // namespace vitrine::internal
