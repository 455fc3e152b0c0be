// SPDX-License-Identifier: MIT
#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "tokenizer/loaders.h"
#include "tokenizer/unicode_class.h"
#include "tokenizer/vocabulary.h"

namespace vitrine::internal {
namespace {

bool begins_with_space(std::string_view text) {
  const Utf8Step step = utf8_step(text);
  return step.valid && char_class(step.code_point) == CharClass::kSpace;
}

std::string kind_of(const Json& part) {
  const auto type = part.is_object() ? part.find("type") : part.end();
  return type != part.end() && type->is_string() ? quote(type->get_ref<const std::string&>())
                                                 : describe_json(part);
}

bool has_type(const Json& part, std::string_view type) {
  const auto found = part.is_object() ? part.find("type") : part.end();
  return found != part.end() && *found == type;
}

// The fields of "model" that would change tokens if they were set; none is in any GPT-2's file.
void check_model(const JsonFields& model) {
  const auto type = model.text("type").value_or("BPE");  // old files do not say
  if (type != "BPE")
    model.refuse("type",
                 "expected byte-level BPE; use the model's SentencePiece file, if it has one");
  if (const Json* dropout = model.find("dropout"); dropout && *dropout != 0)
    model.refuse("dropout", "expected null, because dropout is for training only");
  if (model.boolean("byte_fallback").value_or(false)) {
    model.refuse("byte_fallback",
                 "expected byte-level BPE; use the model's SentencePiece file, if it has one");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(affix).value_or("").empty())
      model.refuse(affix, "expected null or \"\" for byte-level BPE");
  }
}

void read_pre_tokenizer(const JsonFields& root, const std::string& file, BpeSpec& spec) {
  const Json* part = root.find("pre_tokenizer");
  if (!part) root.refuse("pre_tokenizer", "expected one of type \"ByteLevel\"");
  if (!has_type(*part, "ByteLevel")) {
    user_error("{}: pre_tokenizer is {}: expected \"ByteLevel\", as in GPT-2", file,
               kind_of(*part));
  }
  const std::string where = file + ": pre_tokenizer";
  const JsonFields fields(*part, where);
  spec.add_prefix_space = fields.boolean("add_prefix_space")
                              .value_or(true);  // as tokenizers has it for a file that does not say
  spec.split_words = fields.boolean("use_regex").value_or(true);
}

void check_other_parts(const JsonFields& root, const std::string& file) {
  if (const Json* normalizer = root.find("normalizer")) {
    user_error("{}: normalizer is {}: expected null for byte-level BPE", file,
               kind_of(*normalizer));
  }
  if (const Json* decoder = root.find("decoder"); decoder && !has_type(*decoder, "ByteLevel")) {
    user_error("{}: decoder is {}: expected \"ByteLevel\"", file, kind_of(*decoder));
  }
}

AddedToken read_added_token(const Json& entry, const std::string& where) {
  const JsonFields fields(entry, where);
  AddedToken token;
  token.id = static_cast<int32_t>(fields.require_integer("id", 0, INT32_MAX));
  if (!fields.has("content")) fields.refuse("content", "expected the token's text");
  token.content = *fields.text("content");
  token.special = fields.boolean("special").value_or(false);
  token.lstrip = fields.boolean("lstrip").value_or(false);
  token.rstrip = fields.boolean("rstrip").value_or(false);
  token.normalized = fields.boolean("normalized").value_or(!token.special);
  if (fields.boolean("single_word").value_or(false)) {
    fields.refuse(
        "single_word",
        fmt::format("expected false, because matching {} as a single word only is not supported",
                    quote(token.content)));
  }
  return token;
}

void read_added_tokens(const JsonFields& root, const std::string& file,
                       VocabularyBuilder& vocabulary) {
  const Json* list = root.find("added_tokens");
  if (!list) return;
  if (!list->is_array()) root.refuse("added_tokens", "expected a list");
  std::string takes_space_after, begins_with;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string where = fmt::format("{}: added_tokens[{}]", file, i);
    AddedToken token = read_added_token((*list)[i], where);
    if (token.rstrip) takes_space_after = token.content;
    if (!token.content.empty() && begins_with_space(token.content)) begins_with = token.content;
    vocabulary.add(std::move(token), where);
  }
  if (!takes_space_after.empty() && !begins_with.empty()) {
    user_error(
        "{}: added token {} strips white space after it (rstrip) that added token {} begins with; "
        "set rstrip to false",
        file, quote(takes_space_after), quote(begins_with));
  }
}

// The two halves of "a b".
std::pair<std::string_view, std::string_view> halves(std::string_view line, const std::string& file,
                                                     size_t number) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    user_error("{}: merge {} is {}: expected two tokens with one space between them", file, number,
               quote(line));
  }
  return {line.substr(0, space), line.substr(space + 1)};
}

void read_merges(const JsonFields& model, const std::string& file, VocabularyBuilder& vocabulary) {
  const Json* list = model.find("merges");
  if (!list || !list->is_array()) model.refuse("merges", "expected a list of merges");
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& entry = (*list)[i];
    const size_t number = i + 1;
    if (entry.is_string()) {
      const auto [left, right] = halves(entry.get_ref<const std::string&>(), file, number);
      vocabulary.merge(left, right, file, number);
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_string()) {
      vocabulary.merge(entry[0].get_ref<const std::string&>(),
                       entry[1].get_ref<const std::string&>(), file, number);
    } else {
      user_error("{}: merge {} is {}: expected \"a b\" or [\"a\", \"b\"]", file, number,
                 describe_json(entry));
    }
  }
}

void read_merges_text(std::string_view text, const std::string& file,
                      VocabularyBuilder& vocabulary) {
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version") || (line.empty() && text.empty())) continue;
    const std::string where = fmt::format("{}:{}", file, line_number);
    const auto [left, right] = halves(line, where, line_number);
    vocabulary.merge(left, right, where, line_number);
  }
}

}  // namespace

BpeSpec parse_tokenizer_json(std::string_view contents, const std::string& file) {
  const Json json = parse_json(contents, file);
  const JsonFields root(json, file);
  const Json* model_json = root.find("model");
  if (!model_json) root.refuse("model", "expected the model of a tokenizer.json");
  const std::string model_name = file + ": model";
  const JsonFields model(*model_json, model_name);
  check_model(model);
  check_other_parts(root, file);
  const Json* vocab = model.find("vocab");
  if (!vocab) model.refuse("vocab", "expected an object of token names and ids");
  VocabularyBuilder vocabulary(*vocab, model_name + ".vocab");
  read_merges(model, model_name, vocabulary);
  read_added_tokens(root, file, vocabulary);
  BpeSpec spec = vocabulary.build();
  read_pre_tokenizer(root, file, spec);
  spec.ignore_merges = model.boolean("ignore_merges").value_or(false);
  return spec;
}

BpeSpec parse_vocab_and_merges(std::string_view vocab, const std::string& vocab_file,
                               std::string_view merges, const std::string& merges_file) {
  VocabularyBuilder vocabulary(parse_json(vocab, vocab_file), vocab_file);
  read_merges_text(merges, merges_file, vocabulary);
  constexpr const char* kEndOfText = "<|endoftext|>";
  if (const int32_t id = vocabulary.find(kEndOfText); id >= 0) {
    vocabulary.add({.id = id, .content = kEndOfText, .special = true}, vocab_file);
  }
  return vocabulary.build();
}

}  // namespace vitrine::internal
