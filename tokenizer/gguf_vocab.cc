// SPDX-License-Identifier: MIT
#include "tokenizer/gguf_vocab.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/gguf_header.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "tokenizer/loaders.h"

namespace vitrine::internal {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";

// llama.cpp's types of tokens. What is neither is part of the vocabulary alone.
enum TokenType : int32_t { kControl = 3, kUserDefined = 4 };

class Reader {
 public:
  Reader(const GgufHeader& header, const std::string& file) : header_(header), file_(file) {}

  GgufVocab read() {
    expect("tokenizer.ggml.model", "gpt2");
    // Files from before llama.cpp named it are of GPT-2's own tokenizer.
    if (header_.texts.contains("tokenizer.ggml.pre")) expect("tokenizer.ggml.pre", "gpt-2");
    read_tokens();
    for (const std::string_view merge : header_.texts_of("tokenizer.ggml.merges", file_)) {
      if (merge.find('\n') != std::string_view::npos)
        user_error("{}: the merge {} has a line break: expected two tokens", file_, quote(merge));
      vocab_.merges.append(checked(merge, "merges")) += '\n';
    }
    FolderSettings& settings = vocab_.settings;
    settings.begin = token_of("tokenizer.ggml.bos_token_id");
    settings.end = token_of("tokenizer.ggml.eos_token_id");
    settings.add_begin = flag("tokenizer.ggml.add_bos_token");
    settings.add_end = flag("tokenizer.ggml.add_eos_token");
    settings.add_prefix_space = flag("tokenizer.ggml.add_space_prefix");
    return std::move(vocab_);
  }

 private:
  void expect(const char* name, std::string_view wanted) const {
    const auto found = header_.texts.find(name);
    if (found != header_.texts.end() && found->second == wanted) return;
    user_error(
        "{}: its {} is {}: expected '{}'; put the model's tokenizer.json beside it, or use "
        "`tokenizer`",
        file_, name, found == header_.texts.end() ? "missing" : quote(found->second), wanted);
  }

  void read_tokens() {
    tokens_ = header_.texts_of(kTokens, file_);
    if (tokens_.empty() || tokens_.size() > static_cast<size_t>(kMaxTokenId))
      user_error("{}: {} has {} tokens: expected 1 to {}", file_, kTokens, tokens_.size(),
                 kMaxTokenId);
    std::vector<int32_t> types(tokens_.size(), 1);
    if (header_.arrays.contains("tokenizer.ggml.token_type"))
      types = header_.integers_of("tokenizer.ggml.token_type", file_);
    if (types.size() != tokens_.size())
      user_error("{}: {} token types of {} tokens: expected one each", file_, types.size(),
                 tokens_.size());
    vocab_.vocab = Json::object();
    vocab_.added = Json::array();
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const std::string token(checked(tokens_[id], "tokens"));
      vocab_.vocab[token] = id;
      if (types[id] != kControl && types[id] != kUserDefined) continue;
      vocab_.added.push_back({{"id", id}, {"content", token}, {"special", types[id] == kControl}});
    }
  }

  std::string_view checked(std::string_view text, const char* what) const {
    if (first_bad_byte(text) != text.size())
      user_error("{}: the {} have {}: expected UTF-8 text", file_, what, quote(text));
    return text;
  }

  std::string token_of(const char* name) const {
    const auto found = header_.numbers.find(name);
    if (found == header_.numbers.end()) return "";
    const double id = found->second;
    if (!(id >= 0 && id < static_cast<double>(tokens_.size())))
      user_error("{}: {} is {}: expected 0..{}", file_, name, id, tokens_.size() - 1);
    return std::string(tokens_[static_cast<size_t>(id)]);
  }

  std::optional<bool> flag(const char* name) const {
    const auto found = header_.numbers.find(name);
    return found == header_.numbers.end() ? std::nullopt : std::optional(found->second != 0);
  }

  const GgufHeader& header_;
  const std::string& file_;
  std::vector<std::string_view> tokens_;
  GgufVocab vocab_;
};

}  // namespace

GgufVocab read_gguf_vocab(std::span<const std::byte> contents, const std::string& file) {
  const GgufHeader header = parse_gguf_header(contents, file);
  return Reader(header, file).read();
}

bool gguf_has_tokenizer(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_gguf_header(file.bytes(), path.string()).arrays.contains(kTokens);
}

}  // namespace vitrine::internal
