// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>

#include "base/check.h"
#include "tokenizer/folder_settings.h"
#include "tokenizer/loaders.h"

namespace vitrine::internal {
namespace {

std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

Json bert_tokenizer_json(std::string_view vocab_text, const std::string& file,
                         const FolderSettings& settings) {
  Json vocab = Json::object();
  uint64_t line = 0;
  // Of two lines with one token the later counts, as in transformers.
  for (; !vocab_text.empty(); ++line) vocab[std::string(next_line(vocab_text))] = line;
  if (vocab.empty()) user_error("{}: is empty: expected one token a line", file);
  Json added = Json::array();
  for (const char* name : {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}) {
    if (const auto known = vocab.find(name); known != vocab.end())
      added.push_back({{"id", *known}, {"content", name}, {"special", true}});
  }
  Json root = {
      {"model",
       {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"continuing_subword_prefix", "##"}}},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", settings.space_ideographs},
        {"lowercase", settings.lower_case}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"decoder", {{"type", "WordPiece"}}},
      {"added_tokens", added}};
  if (settings.strip_accents) root["normalizer"]["strip_accents"] = *settings.strip_accents;
  if (vocab.contains("[CLS]") && vocab.contains("[SEP]")) {
    root["post_processor"] = {{"type", "BertProcessing"},
                              {"cls", {"[CLS]", vocab["[CLS]"]}},
                              {"sep", {"[SEP]", vocab["[SEP]"]}}};
  }
  root["model"]["vocab"] = std::move(vocab);
  return root;
}

}  // namespace vitrine::internal
