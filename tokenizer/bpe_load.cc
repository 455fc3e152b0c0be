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

BpeSpec parse_plain_bpe(const Json& root, const std::string& file) {
  const JsonFields fields(root, file);
  const std::string model_name = file + ": model";
  const JsonFields model(*fields.find("model"), model_name);
  VocabularyBuilder vocabulary(*model.find("vocab"), model_name + ".vocab");
  for_each_merge(model, model_name,
                 [&](std::string_view left, std::string_view right, size_t number) {
                   vocabulary.merge(left, right, {model_name, number});
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

BpeSpec parse_pair(const Json& vocab, const std::string& vocab_file, std::string_view merges,
                   const std::string& merges_file, std::vector<AddedToken> added) {
  VocabularyBuilder vocabulary(vocab, vocab_file);
  for_each_merge_line(merges, merges_file,
                      [&](std::string_view left, std::string_view right, const MergePlace& place) {
                        vocabulary.merge(left, right, place);
                      });
  for (AddedToken& token : added) vocabulary.add(std::move(token), vocab_file);
  return vocabulary.build();
}

BpeSpec parse_vocab_and_merges(std::string_view vocab, const std::string& vocab_file,
                               std::string_view merges, const std::string& merges_file) {
  constexpr const char* kEndOfText = "<|endoftext|>";
  const Json tokens = parse_json(vocab, vocab_file);
  std::vector<AddedToken> added;
  if (tokens.is_object() && tokens.contains(kEndOfText) && tokens[kEndOfText].is_number_unsigned())
    added.push_back(
        {.id = tokens[kEndOfText].get<int32_t>(), .content = kEndOfText, .special = true});
  return parse_pair(tokens, vocab_file, merges, merges_file, std::move(added));
}

}  // namespace vitrine::internal
