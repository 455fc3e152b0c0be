// SPDX-License-Identifier: MIT
#include "base/safetensors_header.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const auto header = vitrine::internal::parse_safetensors_header(bytes, "fuzz");
    for (const auto& entry : header.entries) {
      if (entry.end > bytes.size() ||
          entry.end - entry.begin !=
              static_cast<size_t>(entry.shape.elements()) * dtype_size(entry.dtype)) {
        __builtin_trap();  // what the parser promises
      }
    }
  });
}
