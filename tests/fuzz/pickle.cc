// SPDX-License-Identifier: MIT
#include "engine/checkpoint/safe_pickle.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    if (vitrine::internal::Pickle(bytes, "fuzz").size() > bytes.size()) __builtin_trap();
  });
}
