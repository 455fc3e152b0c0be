// SPDX-License-Identifier: MIT
#include "vitrine/analysis/tuned_lens.h"

#include "tests/fuzz/fuzz.h"

// Any folder of translators: it is rejected, or translates.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::Folder folder;
    folder.unpack(vitrine::fuzz::text_of(bytes),
                  {"config.json", "params.safetensors", "params.pt"});
    vitrine::Config config;
    config.layers = 2;
    config.width = 3;
    const vitrine::TunedLens lens = vitrine::load_tuned_lens(folder.path(), config);
    const vitrine::Tensor rows(vitrine::DType::kF32, {2, 3});
    for (int layer = 0; layer < config.layers; ++layer)
      vitrine::fuzz::require(lens.translate(layer, rows).shape() == rows.shape());
  });
}
