// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"
#include "tokenizer/loaders.h"

// Any SentencePiece model: it is refused, or works.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const std::string_view contents(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto tokenizer = vitrine::internal::parse_sentencepiece(contents, "fuzz");
    const std::string text = "The \uff21 quick AAB </s> brown \ufb01x";
    (void)tokenizer->decode(tokenizer->encode(text, vitrine::Tokenizer::Special::kAllow));
    (void)tokenizer->encode_with_spans(text);
  });
}
