// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/decoders.h"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/pipeline/normalizers.h"
#include "tokenizer/pipeline/pattern.h"
#include "tokenizer/pipeline/pre_tokenizers.h"

namespace vitrine::internal {
namespace {

/// A step whose settings can be copied as they are before the first token.
template <typename Self>
class Stage : public DecodeStage {
 public:
  std::unique_ptr<DecodeStage> fresh() const override {
    return std::make_unique<Self>(static_cast<const Self&>(*this));
  }
};

std::string with_all_replaced(std::string text, std::string_view from, std::string_view to) {
  if (from.empty()) return text;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string with_space(std::string_view token) {
  std::string text(1, ' ');
  text += token;
  return text;
}

/// Tokens that are words.
class Words : public Stage<Words> {
 public:
  void push(std::string token, const Next& next) override {
    next(std::exchange(is_first_, false) ? std::move(token) : with_space(token));
  }

 private:
  bool is_first_ = true;
};

/// Tokens in the spelling of byte-level vocabularies. One that is not in it is text.
class ByteLevel : public Stage<ByteLevel> {
 public:
  void push(std::string token, const Next& next) override {
    auto bytes = bytes_of_spelling(token);
    next(bytes ? *std::move(bytes) : std::move(token));
  }
};

class WordPieces : public Stage<WordPieces> {
 public:
  WordPieces(std::string prefix, bool cleans) : prefix_(std::move(prefix)), cleans_(cleans) {}
  void push(std::string token, const Next& next) override {
    if (!std::exchange(is_first_, false)) {
      if (token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else {
        token = with_space(token);
      }
    }
    next(cleans_ ? cleaned(std::move(token)) : std::move(token));
  }

 private:
  static std::string cleaned(std::string token) {
    static constexpr std::pair<const char*, const char*> kChanges[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kChanges) token = with_all_replaced(std::move(token), from, to);
    return token;
  }

  std::string prefix_;
  bool cleans_, is_first_ = true;
};

class SpaceSymbols : public Stage<SpaceSymbols> {
 public:
  explicit SpaceSymbols(const Metaspace& metaspace)
      : drops_first_(metaspace.prepend != Metaspace::Prepend::kNever) {
    append_utf8(metaspace.replacement, symbol_);
  }
  void push(std::string token, const Next& next) override {
    const bool drops = std::exchange(is_first_, false) && drops_first_;
    next(with_all_replaced(std::move(token), symbol_, drops ? "" : " "));
  }

 private:
  std::string symbol_;
  bool drops_first_, is_first_ = true;
};

/// Tokens of which some end a word; the last one's end is not written.
class WordEnds : public Stage<WordEnds> {
 public:
  explicit WordEnds(std::string suffix) : suffix_(std::move(suffix)) {}
  void push(std::string token, const Next& next) override {
    if (held_) next(with_all_replaced(*std::move(held_), suffix_, " "));
    held_ = std::move(token);
  }
  void finish(const Next& next) override {
    if (held_) next(with_all_replaced(*std::move(held_), suffix_, ""));
    held_.reset();
  }

 private:
  std::string suffix_;
  std::optional<std::string> held_;
};

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (!step.valid) return false;
    text.remove_prefix(step.length);
  }
  return true;
}

/// Tokens such as "<0x41>". A run of them that is not UTF-8 is as many replacement characters.
class Bytes : public Stage<Bytes> {
 public:
  void push(std::string token, const Next& next) override {
    if (const auto byte = byte_of(token)) {
      held_ += *byte;
      return;
    }
    finish(next);
    next(std::move(token));
  }
  void finish(const Next& next) override {
    if (held_.empty()) return;
    std::string bytes = std::exchange(held_, {});
    if (is_utf8(bytes)) {
      next(std::move(bytes));
    } else {
      for (size_t i = 0; i < bytes.size(); ++i) next("\uFFFD");
    }
  }

 private:
  static std::optional<char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>'))
      return std::nullopt;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
    if (error != std::errc() || end != token.data() + 5) return std::nullopt;
    return static_cast<char>(value);
  }

  std::string held_;
};

class Replacing : public Stage<Replacing> {
 public:
  Replacing(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void push(std::string token, const Next& next) override {
    if (!is_utf8(token)) return next(std::move(token));
    std::string out;
    for (const TextMatch& part : pattern_.split(token))
      out += part.matches ? content_ : token.substr(part.begin, part.end - part.begin);
    next(std::move(out));
  }

 private:
  Regex pattern_;
  std::string content_;
};

/// Makes one token of all.
class Fuse : public Stage<Fuse> {
 public:
  void push(std::string token, const Next&) override { all_ += token; }
  void finish(const Next& next) override { next(std::exchange(all_, {})); }

 private:
  std::string all_;
};

/// Takes up to `start` and `stop` of one character off the ends of each token.
class Strip : public Stage<Strip> {
 public:
  Strip(std::string character, size_t start, size_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}
  void push(std::string token, const Next& next) override {
    std::string_view rest = token;
    for (size_t i = 0; i < start_ && rest.starts_with(character_); ++i)
      rest.remove_prefix(character_.size());
    for (size_t i = 0; i < stop_ && rest.ends_with(character_); ++i)
      rest.remove_suffix(character_.size());
    next(std::string(rest));
  }

 private:
  std::string character_;
  size_t start_, stop_;
};

/// Fuse and Strip of the start in one, so that text comes while it is made.
class StripStart : public Stage<StripStart> {
 public:
  StripStart(std::string character, size_t start)
      : character_(std::move(character)), left_(start) {}
  void push(std::string token, const Next& next) override {
    held_ += token;
    while (left_ > 0 && held_.starts_with(character_)) {
      held_.erase(0, character_.size());
      --left_;
    }
    // The beginning of the character may be all that there is so far.
    if (left_ > 0 && character_.starts_with(held_)) return;
    left_ = 0;
    next(std::exchange(held_, {}));
  }
  void finish(const Next& next) override {
    if (!held_.empty()) next(std::exchange(held_, {}));
  }

 private:
  std::string character_, held_;
  size_t left_;
};

struct Reading {
  DecodeStages stages;
  bool fuses = false;  ///< what comes next sees one token

  void add(std::shared_ptr<const DecodeStage> stage) {
    if (std::exchange(fuses, false)) stages.push_back(std::make_shared<Fuse>());
    stages.push_back(std::move(stage));
  }
};

void add_strip(const JsonFields& fields, Reading& reading) {
  const auto content = fields.text("content");
  if (!content || count_characters(*content) != 1)
    fields.refuse("content", "expected one character");
  const auto start = static_cast<size_t>(fields.integer("start", 0, INT32_MAX).value_or(0));
  const auto stop = static_cast<size_t>(fields.integer("stop", 0, INT32_MAX).value_or(0));
  if (reading.fuses && stop == 0) {
    reading.stages.push_back(std::make_shared<StripStart>(*content, start));
  } else {
    reading.add(std::make_shared<Strip>(*content, start, stop));
  }
}

void add_stages(const Json& json, const std::string& where, Reading& reading) {
  const JsonFields fields(json, where);
  const std::string type = stage_type(json, where);
  if (type == "Sequence") {
    size_t index = 0;
    for (const Json& part : stage_list(json, "decoders", where))
      add_stages(part, fmt::format("{}[{}]", where, index++), reading);
  } else if (type == "ByteLevel") {
    reading.add(std::make_shared<ByteLevel>());
    reading.fuses = true;
  } else if (type == "Fuse") {
    reading.fuses = true;
  } else if (type == "WordPiece") {
    reading.add(std::make_shared<WordPieces>(fields.text("prefix").value_or("##"),
                                             fields.boolean("cleanup").value_or(true)));
  } else if (type == "Metaspace") {
    reading.add(std::make_shared<SpaceSymbols>(read_metaspace(fields)));
  } else if (type == "BPEDecoder") {
    reading.add(std::make_shared<WordEnds>(fields.text("suffix").value_or("</w>")));
  } else if (type == "ByteFallback") {
    reading.add(std::make_shared<Bytes>());
  } else if (type == "Replace") {
    reading.add(std::make_shared<Replacing>(read_pattern(json, where),
                                            fields.text("content").value_or("")));
  } else if (type == "Strip") {
    add_strip(fields, reading);
  } else {
    fields.refuse("type",
                  "expected BPEDecoder, ByteFallback, ByteLevel, Fuse, Metaspace, Replace, "
                  "Sequence, Strip or WordPiece");
  }
}

}  // namespace

DecodeStages read_decoder(const Json* json, const std::string& where) {
  if (json == nullptr) return {std::make_shared<Words>()};
  Reading reading;
  add_stages(*json, where, reading);
  return std::move(reading.stages);
}

DecodeRun::DecodeRun(const DecodeStages& stages) {
  for (const auto& stage : stages) stages_.push_back(stage->fresh());
}

void DecodeRun::feed(size_t stage, std::string token, std::string& out) {
  if (stage == stages_.size()) {
    out += token;
    return;
  }
  stages_[stage]->push(std::move(token),
                       [&](std::string part) { feed(stage + 1, std::move(part), out); });
}

void DecodeRun::finish(std::string& out) {
  for (size_t stage = 0; stage < stages_.size(); ++stage)
    stages_[stage]->finish([&](std::string part) { feed(stage + 1, std::move(part), out); });
}

}  // namespace vitrine::internal
