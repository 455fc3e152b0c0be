// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <memory>

#include "tests/fuzz/fuzz.h"
#include "tokenizer/bpe.h"
#include "vitrine/tokenizer.h"

namespace {

// A token for each byte, merges over them, and tokens that take the white space beside them.
std::shared_ptr<const vitrine::Tokenizer> make_tokenizer() {
  vitrine::internal::BpeSpec spec;
  for (int32_t byte = 0; byte < 256; ++byte) {
    spec.tokens.emplace_back(1, static_cast<char>(byte));
    spec.byte_ids[static_cast<size_t>(byte)] = byte;
  }
  for (const auto& [left, right] : {std::pair<int32_t, int32_t>{'a', 'a'},
                                    {256, 256},
                                    {' ', 257},
                                    {0xC3, 0xA9},
                                    {'\'', 's'},
                                    {' ', ' '},
                                    {261, 261}}) {
    const auto product = static_cast<int32_t>(spec.tokens.size());
    spec.merges.push_back({left, right, product});
    spec.tokens.push_back(spec.tokens[static_cast<size_t>(left)] +
                          spec.tokens[static_cast<size_t>(right)]);
  }
  for (const char* content : {"<|endoftext|>", "[M]"}) {
    spec.added.push_back({.id = static_cast<int32_t>(spec.tokens.size()),
                          .content = content,
                          .special = content[0] == '<'});
    spec.tokens.emplace_back(content);
  }
  spec.mergeable.assign(spec.tokens.size(), true);
  return std::make_shared<vitrine::internal::BpeTokenizer>(std::move(spec));
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// Any bytes: they come back, spans cover them, and a stream of their tokens is the same text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = make_tokenizer();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto special :
       {vitrine::Tokenizer::Special::kText, vitrine::Tokenizer::Special::kAllow}) {
    vitrine::StreamDecoder stream(tokenizer);
    std::string streamed;
    size_t at = 0;
    for (const auto& piece : tokenizer->encode_with_spans(text, special)) {
      require(piece.begin == at && piece.end > at &&
              text.substr(at, piece.end - at) == tokenizer->token_bytes(piece.id));
      at = piece.end;
      streamed += stream.push(piece.id);
    }
    require(at == size && streamed + stream.flush() == text);
    require(tokenizer->decode(tokenizer->encode(text, special)) == text);
  }
  (void)vitrine::printable(text);
  return 0;
}
