// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "tokenizer/loaders.h"
#include "tokenizer/merge_list.h"
#include "tokenizer/vocabulary.h"

namespace vitrine::internal {
namespace {

void read_merges_text(std::string_view text, const std::string& file,
                      VocabularyBuilder& vocabulary) {
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version") || (line.empty() && text.empty())) continue;
    const std::string where = fmt::format("{}:{}", file, line_number);
    const auto [left, right] = merge_halves(line, where, line_number);
    vocabulary.merge(left, right, where, line_number);
  }
}

}  // namespace

BpeSpec parse_plain_bpe(const Json& root, const std::string& file) {
  const JsonFields fields(root, file);
  const std::string model_name = file + ": model";
  const JsonFields model(*fields.find("model"), model_name);
  VocabularyBuilder vocabulary(*model.find("vocab"), model_name + ".vocab");
  for_each_merge(model, model_name,
                 [&](std::string_view left, std::string_view right, size_t number) {
                   vocabulary.merge(left, right, model_name, number);
                 });
  size_t index = 0;
  for (AddedToken& token : read_added_tokens(fields, file))
    vocabulary.add(std::move(token), fmt::format("{}: added_tokens[{}]", file, index++));
  BpeSpec spec = vocabulary.build();
  const JsonFields pre_tokenizer(*fields.find("pre_tokenizer"), file);
  spec.add_prefix_space = pre_tokenizer.boolean("add_prefix_space")
                              .value_or(true);  // as tokenizers has it for a file that does not say
  spec.split_words = pre_tokenizer.boolean("use_regex").value_or(true);
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
