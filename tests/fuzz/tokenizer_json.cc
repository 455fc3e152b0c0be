// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"
#include "tokenizer/loaders.h"

// Any tokenizer.json: it is refused, or works.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const std::string_view contents(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto tokenizer = vitrine::internal::parse_tokenizer_json(contents, "fuzz");
    const std::string text = "aab Abba <end> b, \u00c5n\u0323\u0307x 12 \u4e2d\ufb01\xff  'tis\n";
    size_t at = 0;
    std::vector<int32_t> ids;
    for (const auto& piece :
         tokenizer->encode_with_spans(text, vitrine::Tokenizer::Special::kAllow)) {
      vitrine::fuzz::require(piece.begin == at && piece.end >= at && piece.end <= text.size());
      at = piece.end;
      ids.push_back(piece.id);
      (void)tokenizer->token_bytes(piece.id);
    }
    vitrine::fuzz::require(ids == tokenizer->encode(text, vitrine::Tokenizer::Special::kAllow));
    (void)tokenizer->decode(ids);
  });
}
