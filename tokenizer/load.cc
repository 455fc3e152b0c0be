// SPDX-License-Identifier: MIT
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
#include "tokenizer/loaders.h"
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

Loaded load_tokenizer_json(const fs::path& path) {
  const Contents file(path);
  return parse_tokenizer_json(file.text(), file.name());
}

// added_tokens.json, which old programs wrote beside the pair, is not read; it may stand there if
// it adds nothing.
void check_added_tokens(const fs::path& path, const Tokenizer& tokenizer) {
  if (!present(path)) return;
  const Json json = read_json(path);
  if (!json.is_object())
    user_error("{}: is {}: expected an object of token names and ids", path.string(),
               describe_json(json));
  for (const auto& [name, id] : json.items()) {
    const bool known = id.is_number_unsigned() &&
                       id.get<uint64_t>() < static_cast<uint64_t>(tokenizer.vocab_size()) &&
                       tokenizer.token_bytes(id.get<int32_t>()) == name;
    if (!known) {
      user_error(
          "{}: adds token {} with id {}, which is supported in tokenizer.json only; save the "
          "tokenizer as tokenizer.json",
          path.string(), describe_json(name), describe_json(id));
    }
  }
}

Loaded load_vocab_and_merges(const fs::path& vocab_path, const fs::path& merges_path) {
  if (!present(vocab_path))
    user_error("{}: no such file: expected vocab.json next to merges.txt", vocab_path.string());
  if (!present(merges_path))
    user_error("{}: no such file: expected merges.txt next to vocab.json", merges_path.string());
  const Contents vocab(vocab_path), merges(merges_path);
  const auto tokenizer = std::make_shared<BpeTokenizer>(
      parse_vocab_and_merges(vocab.text(), vocab.name(), merges.text(), merges.name()));
  check_added_tokens(vocab_path.parent_path() / "added_tokens.json", *tokenizer);
  return tokenizer;
}

Loaded load_sentencepiece(const fs::path& path) {
  const Contents file(path);
  return parse_sentencepiece(file.bytes(), file.name());
}

Loaded load_directory(const fs::path& path) {
  if (present(path / "tokenizer.json")) return load_tokenizer_json(path / "tokenizer.json");
  if (present(path / "vocab.json") || present(path / "merges.txt"))
    return load_vocab_and_merges(path / "vocab.json", path / "merges.txt");
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    if (present(path / name)) return load_sentencepiece(path / name);
  }
  user_error(
      "{}: no tokenizer found: expected tokenizer.json, vocab.json with merges.txt, "
      "tokenizer.model or spiece.model",
      path.string());
}

}  // namespace

Loaded Tokenizer::load(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    user_error("{}: no such file or directory: expected a tokenizer file or a model directory",
               path.string());
  if (fs::is_directory(path, ignored)) return load_directory(path);
  const fs::path name = path.filename();
  if (name == "vocab.json") return load_vocab_and_merges(path, path.parent_path() / "merges.txt");
  if (name == "merges.txt") return load_vocab_and_merges(path.parent_path() / "vocab.json", path);
  if (name.extension() == ".json") return load_tokenizer_json(path);
  if (name.extension() == ".model") return load_sentencepiece(path);
  user_error(
      "{}: unknown tokenizer file name: expected NAME.json, vocab.json, merges.txt or NAME.model",
      path.string());
}

}  // namespace vitrine
