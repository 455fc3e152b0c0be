// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"
#include "tokenizer/bpe.h"
#include "tokenizer/loaders.h"

// Any tokenizer.json: it is refused, or works.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const std::string_view contents(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const vitrine::internal::BpeTokenizer tokenizer(
        vitrine::internal::parse_tokenizer_json(contents, "fuzz"));
    const std::string text = "aab abba <end> b";
    const auto ids = tokenizer.encode(text, vitrine::Tokenizer::Special::kAllow);
    (void)tokenizer.decode(ids);
    (void)tokenizer.encode_with_spans(text, vitrine::Tokenizer::Special::kAllow);
  });
}
