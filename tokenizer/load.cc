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
#include "tokenizer/gguf_vocab.h"
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

/// Merges and a vocabulary, wherever they come from.
struct Pair {
  Json vocab, added;
  std::string vocab_name, merges_name;
  std::string_view merges;
};

// What transformers' GPT2Tokenizer makes of the pair.
Loaded tokenizer_of_pair(Pair pair, const FolderSettings& settings) {
  Json root = {{"model", {{"type", "BPE"}, {"merges", Json::array()}}},
               {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
               {"decoder", {{"type", "ByteLevel"}}},
               {"added_tokens", std::move(pair.added)}};
  root["model"]["vocab"] = std::move(pair.vocab);
  apply_settings(settings, pair.vocab_name, root);
  if (is_plain_bpe(root)) {
    BpeSpec spec =
        parse_pair(root["model"]["vocab"], pair.vocab_name, pair.merges, pair.merges_name,
                   read_added_tokens(JsonFields(root, pair.vocab_name), pair.vocab_name));
    spec.add_prefix_space = root["pre_tokenizer"]["add_prefix_space"].get<bool>();
    spec.ends = ends_of(root, pair.vocab_name, settings, spec.added);
    return std::make_shared<BpeTokenizer>(std::move(spec));
  }
  for_each_merge_line(pair.merges, pair.merges_name,
                      [&](std::string_view left, std::string_view right, const MergePlace&) {
                        root["model"]["merges"].push_back({std::string(left), std::string(right)});
                      });
  return tokenizer_of_json(root, pair.vocab_name, settings);
}

Loaded load_vocab_and_merges(const fs::path& vocab_path, const fs::path& merges_path,
                             const FolderSettings& settings) {
  if (!present(vocab_path))
    user_error("{}: no such file: expected {} next to {}", vocab_path.string(),
               vocab_path.filename().string(), merges_path.filename().string());
  if (!present(merges_path))
    user_error("{}: no such file: expected {} next to {}", merges_path.string(),
               merges_path.filename().string(), vocab_path.filename().string());
  const Contents vocab(vocab_path), merges(merges_path);
  Pair pair{.vocab = parse_json(vocab.text(), vocab.name()),
            .added = Json::array(),
            .vocab_name = vocab.name(),
            .merges_name = merges.name(),
            .merges = merges.text()};
  constexpr const char* kEndOfText = "<|endoftext|>";
  if (pair.vocab.is_object() && pair.vocab.contains(kEndOfText)) {
    pair.added.push_back(
        {{"id", pair.vocab[kEndOfText]}, {"content", kEndOfText}, {"special", true}});
  }
  return tokenizer_of_pair(std::move(pair), settings);
}

Loaded load_gguf(const fs::path& path) {
  const MappedFile file(path);  // weights are most of it
  GgufVocab read = read_gguf_vocab(file.bytes(), path.string());
  Pair pair{.vocab = std::move(read.vocab),
            .added = std::move(read.added),
            .vocab_name = path.string() + ": tokens",
            .merges_name = path.string() + ": merges",
            .merges = read.merges};
  return tokenizer_of_pair(std::move(pair), read.settings);
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
// The pair of OpenAI's release of GPT-2.
constexpr const char *kOpenAiVocab = "encoder.json", *kOpenAiMerges = "vocab.bpe";

/// The folder's one GGUF file, if it holds a tokenizer.
fs::path only_gguf(const fs::path& folder) {
  std::error_code ignored;
  fs::path found;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".gguf") continue;
    if (!found.empty()) return {};
    found = entry.path();
  }
  try {
    return !found.empty() && gguf_has_tokenizer(found) ? found : fs::path();
  } catch (const Error&) {
    return {};  // a damaged file, which may not be the model's
  }
}

fs::path find_file(const fs::path& folder, const FolderSettings& settings) {
  if (present(folder / "tokenizer.json")) return folder / "tokenizer.json";
  const bool bert = settings.tokenizer_class.starts_with("Bert");
  if (bert && present(folder / "vocab.txt")) return folder / "vocab.txt";
  if (present(folder / "vocab.json") || present(folder / "merges.txt"))
    return folder / "vocab.json";
  if (present(folder / kOpenAiVocab)) return folder / kOpenAiVocab;
  for (const char* name : kSentencePieceNames) {
    if (present(folder / name)) return folder / name;
  }
  for (const char* name : {"vocab.txt", kLlmcName}) {
    if (present(folder / name)) return folder / name;
  }
  return only_gguf(folder);
}

/// Loads a file by its name; empty if the name says nothing.
Loaded load_file(const fs::path& path, const FolderSettings& settings) {
  const fs::path name = path.filename(), folder = path.parent_path();
  if (name == "vocab.json") return load_vocab_and_merges(path, folder / "merges.txt", settings);
  if (name == "merges.txt") return load_vocab_and_merges(folder / "vocab.json", path, settings);
  if (name == kOpenAiVocab) return load_vocab_and_merges(path, folder / kOpenAiMerges, settings);
  if (name == kOpenAiMerges) return load_vocab_and_merges(folder / kOpenAiVocab, path, settings);
  if (name == kLlmcName) return load_llmc_vocab(path);
  if (name.extension() == ".json") return load_tokenizer_json(path, settings);
  if (name.extension() == ".model") return load_sentencepiece(path, settings);
  if (name.extension() == ".txt") return load_bert_vocab(path, settings);
  if (name.extension() == ".gguf") return load_gguf(path);
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
      "vocab.txt, NAME.gguf or {}",
      path.string(), kLlmcName);
}

}  // namespace vitrine
