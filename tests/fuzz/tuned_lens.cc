// SPDX-License-Identifier: MIT
#include "analysis/lens/tuned_lens_file.h"
#include "tests/fuzz/fuzz.h"

// Any folder of translators: it is rejected, or has what translates every layer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const fuzz::Folder folder;
    folder.unpack(fuzz::text_of(bytes), {"config.json", "params.safetensors", "params.pt"});
    internal::LensModel model{.config = {},
                              .name = "small",
                              .unembedding_hash = [] { return "0123456789abcdef"; },
                              .package_hash = [] { return ""; }};
    model.config.layers = 2;
    model.config.width = 3;
    const TunedLens lens = internal::read_tuned_lens(folder.path(), model);
    fuzz::require(lens.width == 3 && lens.weights.size() == 2 && lens.biases.size() == 2);
    const Tensor rows(DType::kF32, {2, 3});
    for (int layer = 0; layer < lens.layers(); ++layer)
      fuzz::require(lens.translate(layer, rows).shape() == rows.shape());
  });
}
