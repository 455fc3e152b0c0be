// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"
#include "vitrine/tokenizer.h"

// Any folder of a tokenizer's files: it is rejected, or works.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::Folder folder;
    folder.unpack(vitrine::fuzz::text_of(bytes),
                  {"vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json",
                   "tokenizer_config.json", "generation_config.json", "config.json",
                   "tokenizer.json", "vocab.txt", "gpt2_tokenizer.bin"});
    const auto tokenizer = vitrine::Tokenizer::load(folder.path());
    const auto ids = tokenizer->encode("aab abba <end> b", vitrine::Tokenizer::Special::kAllow);
    (void)tokenizer->decode(ids);
  });
}
