// SPDX-License-Identifier: MIT
#include "vitrine/hook_file.h"

#include "tests/fuzz/fuzz.h"

// Any file of hooks: what is read is written, and read again as the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const HookFile file = parse_hook_file(fuzz::text_of(bytes), "hooks.json");
    (void)file.hooks();
    const std::string json = file.json();
    fuzz::require(parse_hook_file(json, "saved.json").json() == json);
  });
}
