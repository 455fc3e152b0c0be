// SPDX-License-Identifier: MIT
#include "engine/checkpoint/config.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const vitrine::Config config = vitrine::internal::parse_config(text, "fuzz").config;
    if (config.width != config.head_width() * config.heads) __builtin_trap();
  });
}
