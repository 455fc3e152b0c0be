// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/pre_tokenizers.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/pipeline/normalizers.h"
#include "tokenizer/pipeline/pattern.h"
#include "tokenizer/pretokenizer.h"

namespace vitrine::internal {
namespace {

using WordList = std::vector<AlignedText>;

PreTokenizer at_characters(std::function<bool(char32_t)> is, SplitBehavior behavior) {
  return [is = std::move(is), behavior](AlignedText text, WordList& words) {
    cut(text, split_characters(text.text(), is), behavior, words);
  };
}

PreTokenizer in_turn(std::vector<PreTokenizer> parts) {
  return [parts = std::move(parts)](AlignedText text, WordList& words) {
    WordList now, next;
    now.push_back(std::move(text));
    for (const PreTokenizer& part : parts) {
      for (AlignedText& word : now) part(std::move(word), next);
      now = std::exchange(next, {});
    }
    std::move(now.begin(), now.end(), std::back_inserter(words));
  };
}

PreTokenizer read_byte_level(const JsonFields& fields) {
  const bool prefix = fields.boolean("add_prefix_space").value_or(true);
  const bool splits = fields.boolean("use_regex").value_or(true);
  return [=](AlignedText text, WordList& words) {
    if (prefix && !text.text().starts_with(' ')) text.prepend(" ");
    std::vector<TextMatch> parts;
    for (size_t begin = 0; begin < text.text().size();) {
      const size_t end = splits ? word_end(text.text(), begin) : text.text().size();
      parts.push_back({begin, end, true});
      begin = end;
    }
    const size_t before = words.size();
    cut(text, std::move(parts), SplitBehavior::kIsolated, words);
    for (size_t i = before; i < words.size(); ++i)
      words[i].transform(byte_spelling(words[i].text()));
  };
}

PreTokenizer read_split(const Json& json, const JsonFields& fields, const std::string& where) {
  const Regex pattern = read_pattern(json, where);
  if (!fields.has("behavior")) fields.refuse("behavior", "expected the name of a behaviour");
  const SplitBehavior behavior = read_split_behavior(fields, SplitBehavior::kIsolated);
  const bool inverted = fields.boolean("invert").value_or(false);
  return [=](AlignedText text, WordList& words) {
    std::vector<TextMatch> matches = pattern.split(text.text());
    if (inverted) {
      for (TextMatch& match : matches) match.matches = !match.matches;
    }
    cut(text, std::move(matches), behavior, words);
  };
}

// \w+|[^\w\s]+
void split_words_and_symbols(AlignedText text, WordList& words) {
  enum class Kind { kNone, kSpace, kWord, kSymbol };
  std::vector<TextMatch> parts;
  Kind before = Kind::kNone;
  for_each_character(text.text(), [&](char32_t c, size_t begin, size_t end) {
    const Kind kind = is_word(c) ? Kind::kWord : is_white_space(c) ? Kind::kSpace : Kind::kSymbol;
    if (kind == before) {
      parts.back().end = end;
    } else {
      parts.push_back({begin, end, kind == Kind::kSpace});
    }
    before = kind;
  });
  cut(text, std::move(parts), SplitBehavior::kRemoved, words);
}

PreTokenizer make_metaspace(const Metaspace& metaspace, bool splits) {
  std::string symbol;
  append_utf8(metaspace.replacement, symbol);
  return [=](AlignedText text, WordList& words) {
    const auto is = [](char32_t wanted) { return [wanted](char32_t c) { return c == wanted; }; };
    text.replace(split_characters(text.text(), is(U' ')), symbol);
    const bool wanted = metaspace.prepend == Metaspace::Prepend::kAlways ||
                        (metaspace.prepend == Metaspace::Prepend::kFirst && text.start() == 0);
    if (wanted && !text.text().starts_with(symbol)) text.prepend(symbol);
    if (splits) {
      cut(text, split_characters(text.text(), is(metaspace.replacement)),
          SplitBehavior::kMergedWithNext, words);
    } else if (!text.empty()) {
      words.push_back(std::move(text));
    }
  };
}

PreTokenizer read_fixed_length(const JsonFields& fields) {
  const auto length = static_cast<size_t>(fields.integer("length", 1, INT32_MAX).value_or(5));
  return [length](AlignedText text, WordList& words) {
    std::vector<TextMatch> parts;
    size_t count = 0;
    for_each_character(text.text(), [&](char32_t, size_t begin, size_t end) {
      if (count++ % length == 0) parts.push_back({begin, end, true});
      parts.back().end = end;
    });
    cut(text, std::move(parts), SplitBehavior::kIsolated, words);
  };
}

// The one character that a field holds.
char32_t read_character(const JsonFields& fields, const char* name) {
  const auto text = fields.text(name);
  if (!text || count_characters(*text) != 1) fields.refuse(name, "expected one character");
  return utf8_step(*text).code_point;
}

PreTokenizer read_pre_tokenizer_sequence(const Json& json, const std::string& where) {
  std::vector<PreTokenizer> parts;
  for (const Json& part : stage_list(json, "pretokenizers", where))
    parts.push_back(read_pre_tokenizer(part, fmt::format("{}[{}]", where, parts.size())));
  return in_turn(std::move(parts));
}

}  // namespace

Metaspace read_metaspace(const JsonFields& fields) {
  Metaspace metaspace;
  metaspace.replacement = read_character(fields, "replacement");
  const std::string scheme = fields.text("prepend_scheme").value_or("always");
  if (scheme == "first") {
    metaspace.prepend = Metaspace::Prepend::kFirst;
  } else if (scheme == "never") {
    metaspace.prepend = Metaspace::Prepend::kNever;
  } else if (scheme != "always") {
    fields.refuse("prepend_scheme", "expected always, first or never");
  }
  // What old files have instead.
  if (!fields.boolean("add_prefix_space").value_or(true)) {
    if (metaspace.prepend != Metaspace::Prepend::kNever && fields.has("prepend_scheme"))
      fields.refuse("add_prefix_space", "expected what prepend_scheme says");
    metaspace.prepend = Metaspace::Prepend::kNever;
  }
  return metaspace;
}

PreTokenizer read_pre_tokenizer(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = stage_type(json, where);
  if (type == "Sequence") return read_pre_tokenizer_sequence(json, where);
  if (type == "ByteLevel") return read_byte_level(fields);
  if (type == "Split") return read_split(json, fields, where);
  if (type == "Whitespace") return split_words_and_symbols;
  if (type == "WhitespaceSplit") return at_characters(is_white_space, SplitBehavior::kRemoved);
  if (type == "FixedLength") return read_fixed_length(fields);
  if (type == "Metaspace")
    return make_metaspace(read_metaspace(fields), fields.boolean("split").value_or(true));
  if (type == "Punctuation")
    return at_characters(is_punctuation, read_split_behavior(fields, SplitBehavior::kIsolated));
  if (type == "Digits") {
    return at_characters(is_numeric, fields.boolean("individual_digits").value_or(false)
                                         ? SplitBehavior::kIsolated
                                         : SplitBehavior::kContiguous);
  }
  if (type == "CharDelimiterSplit") {
    const char32_t delimiter = read_character(fields, "delimiter");
    return at_characters([delimiter](char32_t c) { return c == delimiter; },
                         SplitBehavior::kRemoved);
  }
  if (type == "BertPreTokenizer") {
    return in_turn({at_characters(is_white_space, SplitBehavior::kRemoved),
                    at_characters(is_punctuation, SplitBehavior::kIsolated)});
  }
  fields.refuse("type",
                "expected BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, "
                "Metaspace, Punctuation, Sequence, Split, Whitespace or WhitespaceSplit");
}

}  // namespace vitrine::internal
