// SPDX-License-Identifier: MIT
#include "tests/fuzz/fuzz.h"
#include "tokenizer/gguf_vocab.h"

// The tokenizer of any GGUF file: it is rejected, or each of its tokens has an id.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const auto read = vitrine::internal::read_gguf_vocab(bytes, "fuzz");
    vitrine::fuzz::require(!read.vocab.empty());
  });
}
