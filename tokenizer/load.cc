// SPDX-License-Identifier: MIT
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/text_file.h"
#include "tokenizer/bpe.h"
#include "tokenizer/folder_settings.h"
#include "tokenizer/loaders.h"
#include "tokenizer/merge_list.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using Loaded = std::shared_ptr<const Tokenizer>;

class Contents {
 public:
  explicit Contents(const fs::path& path) : file_(path) {
    if (file_.size() > kMaxTokenizerBytes) {
      user_error("{}: is {} bytes: expected at most {} for a tokenizer file", name(), file_.size(),
                 kMaxTokenizerBytes);
    }
  }
  std::string name() const { return file_.path().string(); }
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(file_.data()), file_.size()};
  }
  /// Throws Error (user) for what is not UTF-8 text.
  std::string_view text() const { return check_text(bytes(), name()); }

 private:
  MappedFile file_;
};

bool present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Loaded load_tokenizer_json(const fs::path& path, const FolderSettings& settings) {
  const Contents file(path);
  Json root = parse_json(file.text(), file.name());
  apply_settings(settings, file.name(), root);
  return tokenizer_of_json(root, file.name(), settings);
}

// What transformers' GPT2Tokenizer makes of the pair, without the merges.
Json json_of_pair(const Contents& vocab) {
  Json root = {{"model", {{"type", "BPE"}, {"merges", Json::array()}}},
               {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
               {"decoder", {{"type", "ByteLevel"}}},
               {"added_tokens", Json::array()}};
  Json& tokens = root["model"]["vocab"] = parse_json(vocab.text(), vocab.name());
  constexpr const char* kEndOfText = "<|endoftext|>";
  if (tokens.is_object() && tokens.contains(kEndOfText)) {
    root["added_tokens"].push_back(
        {{"id", tokens[kEndOfText]}, {"content", kEndOfText}, {"special", true}});
  }
  return root;
}

Loaded load_vocab_and_merges(const fs::path& vocab_path, const fs::path& merges_path,
                             const FolderSettings& settings) {
  if (!present(vocab_path))
    user_error("{}: no such file: expected vocab.json next to merges.txt", vocab_path.string());
  if (!present(merges_path))
    user_error("{}: no such file: expected merges.txt next to vocab.json", merges_path.string());
  const Contents vocab(vocab_path), merges(merges_path);
  Json root = json_of_pair(vocab);
  apply_settings(settings, vocab.name(), root);
  if (is_plain_bpe(root)) {
    BpeSpec spec = parse_pair(root["model"]["vocab"], vocab.name(), merges.text(), merges.name(),
                              read_added_tokens(JsonFields(root, vocab.name()), vocab.name()));
    spec.add_prefix_space = root["pre_tokenizer"]["add_prefix_space"].get<bool>();
    spec.ends = ends_of(root, vocab.name(), settings, spec.added);
    return std::make_shared<BpeTokenizer>(std::move(spec));
  }
  for_each_merge_line(
      merges.text(), merges.name(),
      [&](std::string_view left, std::string_view right, const MergePlace&) {
        root["model"]["merges"].push_back({std::string(left), std::string(right)});
      });
  return tokenizer_of_json(root, vocab.name(), settings);
}

Loaded load_sentencepiece(const fs::path& path, const FolderSettings& settings) {
  const Contents file(path);
  return parse_sentencepiece(file.bytes(), file.name(), settings);
}

Loaded load_bert_vocab(const fs::path& path, const FolderSettings& settings) {
  const Contents file(path);
  Json root = bert_tokenizer_json(file.text(), file.name(), settings);
  apply_settings(settings, file.name(), root);
  return tokenizer_of_json(root, file.name(), settings);
}

Loaded load_llmc_vocab(const fs::path& path) {
  const Contents file(path);
  return std::make_shared<BpeTokenizer>(parse_llmc_vocab(file.bytes(), file.name()));
}

constexpr const char* kSentencePieceNames[] = {"tokenizer.model", "spiece.model",
                                               "sentencepiece.bpe.model", "spm.model",
                                               "sentencepiece.model"};
constexpr const char* kLlmcName = "gpt2_tokenizer.bin";

fs::path find_file(const fs::path& folder, const FolderSettings& settings) {
  if (present(folder / "tokenizer.json")) return folder / "tokenizer.json";
  const bool bert = settings.tokenizer_class.starts_with("Bert");
  if (bert && present(folder / "vocab.txt")) return folder / "vocab.txt";
  if (present(folder / "vocab.json") || present(folder / "merges.txt"))
    return folder / "vocab.json";
  for (const char* name : kSentencePieceNames) {
    if (present(folder / name)) return folder / name;
  }
  for (const char* name : {"vocab.txt", kLlmcName}) {
    if (present(folder / name)) return folder / name;
  }
  return {};
}

/// Loads a file by its name; empty if the name says nothing.
Loaded load_file(const fs::path& path, const FolderSettings& settings) {
  const fs::path name = path.filename(), folder = path.parent_path();
  if (name == "vocab.json") return load_vocab_and_merges(path, folder / "merges.txt", settings);
  if (name == "merges.txt") return load_vocab_and_merges(folder / "vocab.json", path, settings);
  if (name == kLlmcName) return load_llmc_vocab(path);
  if (name.extension() == ".json") return load_tokenizer_json(path, settings);
  if (name.extension() == ".model") return load_sentencepiece(path, settings);
  if (name.extension() == ".txt") return load_bert_vocab(path, settings);
  return nullptr;
}

Loaded load_directory(const fs::path& folder) {
  const FolderSettings settings = read_folder_settings(folder);
  const fs::path file = find_file(folder, settings);
  if (file.empty()) {
    user_error(
        "{}: no tokenizer found: expected tokenizer.json, vocab.json with merges.txt, {}, "
        "vocab.txt "
        "or {}",
        folder.string(), fmt::join(kSentencePieceNames, ", "), kLlmcName);
  }
  return load_file(file, settings);
}

}  // namespace

fs::path Tokenizer::find_file(const fs::path& directory) {
  try {
    return vitrine::find_file(directory, read_folder_settings(directory));
  } catch (const Error&) {
    return vitrine::find_file(directory, {});  // load() says what is wrong with the settings
  }
}

Loaded Tokenizer::load(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    user_error("{}: no such file or directory: expected a tokenizer file or a model directory",
               path.string());
  if (fs::is_directory(path, ignored)) return load_directory(path);
  if (Loaded loaded = load_file(path, {})) return loaded;
  user_error(
      "{}: unknown tokenizer file name: expected NAME.json, vocab.json, merges.txt, NAME.model, "
      "vocab.txt or {}",
      path.string(), kLlmcName);
}

}  // namespace vitrine
