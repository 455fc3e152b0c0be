// SPDX-License-Identifier: MIT
#include "base/npy.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    (void)vitrine::internal::parse_npy(bytes, "fuzz");
  });
}
