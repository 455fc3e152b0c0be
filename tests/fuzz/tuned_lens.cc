// SPDX-License-Identifier: MIT
#include "vitrine/analysis/tuned_lens.h"

#include "tests/fuzz/fuzz.h"

namespace {

const vitrine::Model& small_model() {
  static const vitrine::Model model = [] {
    vitrine::Config config;
    config.layers = 2;
    config.heads = 1;
    config.width = 3;
    config.inner = 4;
    config.vocab = 5;
    config.context = 4;
    vitrine::ModelOptions options;
    options.threads = 1;
    return vitrine::Model::random(config, 1, options);
  }();
  return model;
}

}  // namespace

// Any folder of translators: it is rejected, or translates.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::Folder folder;
    folder.unpack(vitrine::fuzz::text_of(bytes),
                  {"config.json", "params.safetensors", "params.pt"});
    const vitrine::Model& model = small_model();
    const vitrine::TunedLens lens = vitrine::load_tuned_lens(folder.path(), model);
    const vitrine::Tensor rows(vitrine::DType::kF32, {2, 3});
    for (int layer = 0; layer < model.config().layers; ++layer)
      vitrine::fuzz::require(lens.translate(layer, rows).shape() == rows.shape());
  });
}
