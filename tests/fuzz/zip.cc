// SPDX-License-Identifier: MIT
#include "engine/checkpoint/zip.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    for (const auto& [name, entry] : vitrine::internal::read_zip_directory(bytes, "fuzz")) {
      if (entry.offset > bytes.size() || entry.size > bytes.size() - entry.offset) __builtin_trap();
    }
  });
}
