// SPDX-License-Identifier: MIT
#include <array>

#include "tests/fuzz/fuzz.h"
#include "vitrine/hook_text.h"

// Any file of an edit's or a baseline's tensor: it is rejected, or float32.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    constexpr std::array kNames = {"x.npy", "x.safetensors"};
    const size_t way = fuzz::choose(bytes, 3);
    const fuzz::Folder folder;
    std::string path = folder.write(kNames[way % 2], fuzz::text_of(bytes)).string();
    if (way == 1) path += "#w";
    fuzz::require(read_tensor(path).dtype() == DType::kF32);
    (void)parse_edit("blocks.*.hook_resid_post=add:" + path + "*2.5");
  });
}
