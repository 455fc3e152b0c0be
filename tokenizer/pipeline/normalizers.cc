// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/normalizers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/quote.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/pipeline/normal_forms.h"
#include "tokenizer/pipeline/pattern.h"
#include "tokenizer/pipeline/precompiled.h"

namespace vitrine::internal {
namespace {

void lower(AlignedText& text) {
  std::vector<NewCharacter> changed;
  std::vector<char32_t> forms;
  for_each_character(text.text(), [&](char32_t c, size_t, size_t) {
    forms.clear();
    append_lower(c, forms);
    for (size_t i = 0; i < forms.size(); ++i)
      changed.push_back({forms[i], i == 0 ? 0 : NewCharacter::kInserted});
  });
  text.transform(changed);
}

void strip(AlignedText& text, bool left, bool right) {
  std::vector<char32_t> all;
  for_each_character(text.text(), [&](char32_t c, size_t, size_t) { all.push_back(c); });
  const auto first = left ? std::find_if_not(all.begin(), all.end(), is_white_space) : all.begin();
  const auto end =
      right
          ? std::find_if_not(all.rbegin(), std::make_reverse_iterator(first), is_white_space).base()
          : all.end();
  if (first == all.begin() && end == all.end()) return;
  std::vector<NewCharacter> kept;
  for (auto c = first; c != end; ++c) kept.push_back({*c});
  text.transform(kept, static_cast<size_t>(first - all.begin()));
}

// The blocks whose characters BERT makes words of their own.
bool is_ideograph(char32_t c) {
  static constexpr std::pair<char32_t, char32_t> kBlocks[] = {
      {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
      {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [c](const auto& block) { return c >= block.first && c <= block.second; });
}

void space_ideographs(AlignedText& text) {
  std::vector<NewCharacter> changed;
  for_each_character(text.text(), [&](char32_t c, size_t, size_t) {
    if (is_ideograph(c)) {
      changed.insert(changed.end(),
                     {{U' ', 0}, {c, NewCharacter::kInserted}, {U' ', NewCharacter::kInserted}});
    } else {
      changed.push_back({c});
    }
  });
  text.transform(changed);
}

void clean(AlignedText& text) {
  const auto is_blank = [](char32_t c) { return c == '\t' || c == '\n' || c == '\r'; };
  text.filter(
      [&](char32_t c) { return is_blank(c) || (c != 0 && c != kReplacement && !is_other(c)); });
  text.map([&](char32_t c) { return is_white_space(c) ? U' ' : c; });
}

Normalizer read_bert(const JsonFields& fields) {
  const bool cleans = fields.boolean("clean_text").value_or(true);
  const bool spaces = fields.boolean("handle_chinese_chars").value_or(true);
  const bool lowers = fields.boolean("lowercase").value_or(true);
  const bool strips = fields.boolean("strip_accents").value_or(lowers);
  return [=](AlignedText& text) {
    if (cleans) clean(text);
    if (spaces) space_ideographs(text);
    if (strips) {
      decompose(text, false);
      text.filter([](char32_t c) { return !is_spacing_free_mark(c); });
    }
    if (lowers) lower(text);
  };
}

// As SentencePiece's nmt_nfkc begins.
void clean_for_translation(AlignedText& text) {
  text.filter([](char32_t c) {
    return !((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
             c == 0x9F);
  });
  text.map([](char32_t c) {
    const bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                       (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xFEFF || c == kReplacement;
    return space ? U' ' : c;
  });
}

void spell_bytes(AlignedText& text) { text.transform(byte_spelling(text.text())); }

Normalizer read_normalizer_sequence(const Json& json, const std::string& where) {
  std::vector<Normalizer> parts;
  for (const Json& part : stage_list(json, "normalizers", where))
    parts.push_back(read_normalizer(part, fmt::format("{}[{}]", where, parts.size())));
  return [parts](AlignedText& text) {
    for (const Normalizer& part : parts) part(text);
  };
}

Normalizer read_replace(const Json& json, const JsonFields& fields, const std::string& where) {
  const Regex pattern = read_pattern(json, where);
  if (!fields.has("content")) fields.refuse("content", "expected the text to put there");
  const std::string content = *fields.text("content");
  return
      [pattern, content](AlignedText& text) { text.replace(pattern.split(text.text()), content); };
}

}  // namespace

std::string stage_type(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  if (!fields.has("type")) fields.refuse("type", "expected the name of a kind");
  return *fields.text("type");
}

const Json& stage_list(const Json& json, const char* name, const std::string& where) {
  const JsonFields fields(json, where);
  const Json* const list = fields.find(name);
  if (!list || !list->is_array()) fields.refuse(name, "expected a list");
  return *list;
}

Normalizer read_normalizer(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = stage_type(json, where);
  if (type == "Sequence") return read_normalizer_sequence(json, where);
  if (type == "NFC") return [](AlignedText& text) { compose(text, false); };
  if (type == "NFD") return [](AlignedText& text) { decompose(text, false); };
  if (type == "NFKC") return [](AlignedText& text) { compose(text, true); };
  if (type == "NFKD") return [](AlignedText& text) { decompose(text, true); };
  if (type == "Lowercase") return lower;
  if (type == "StripAccents")
    return [](AlignedText& text) { text.filter([](char32_t c) { return !is_mark(c); }); };
  if (type == "Nmt") return clean_for_translation;
  if (type == "ByteLevel") return spell_bytes;
  if (type == "BertNormalizer") return read_bert(fields);
  if (type == "Replace") return read_replace(json, fields, where);
  if (type == "Precompiled") return read_precompiled(fields, where);
  if (type == "Strip") {
    const bool left = fields.boolean("strip_left").value_or(true);
    const bool right = fields.boolean("strip_right").value_or(true);
    return [=](AlignedText& text) { strip(text, left, right); };
  }
  if (type == "Prepend") {
    const std::string prefix = fields.text("prepend").value_or("");
    return [=](AlignedText& text) { text.prepend(prefix); };
  }
  fields.refuse("type",
                "expected BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, "
                "Precompiled, Prepend, Replace, Sequence, Strip or StripAccents");
}

}  // namespace vitrine::internal
