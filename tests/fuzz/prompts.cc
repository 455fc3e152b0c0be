// SPDX-License-Identifier: MIT
#include "cli/core/tokens.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Text without a tokenizer's files: each byte is a token.
class Bytes : public vitrine::Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, Special) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::vector<Piece> encode_with_spans(std::string_view, Special) const override { return {}; }
  std::string token_bytes(int32_t id) const override {
    check_id(id);
    return std::string(1, static_cast<char>(id));
  }
  std::optional<int32_t> find_special(std::string_view) const override { return {}; }
  std::optional<int32_t> end_of_text() const override { return {}; }
  int32_t vocab_size() const override { return 256; }
  std::string description() const override { return "bytes"; }
};

}  // namespace

// Any file of prompts: it is rejected, or no prompt is empty.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    static const std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<Bytes>();
    const size_t way = fuzz::choose(bytes, 3);
    const fuzz::Folder folder;
    const std::string path =
        folder.write(way == 1 ? "p.jsonl" : "p.txt", fuzz::text_of(bytes)).string();
    cli::PromptArgs args;
    (way == 2 ? args.text_file : args.prompt_file) = path;
    for (const cli::Prompt& prompt : cli::read_prompts(args, tokenizer, "m"))
      fuzz::require(!prompt.ids.empty());
  });
}
