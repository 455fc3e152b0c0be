// SPDX-License-Identifier: MIT
#include "engine/checkpoint/gguf.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::MemoryFile file(bytes);
    vitrine::fuzz::read_tensors(vitrine::internal::read_gguf_file(file.path()).files);
  });
}
