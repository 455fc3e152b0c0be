// SPDX-License-Identifier: MIT
#include "engine/checkpoint/checkpoint.h"

#include "engine/parameters.h"
#include "tests/fuzz/fuzz.h"

// Any folder of a model: it is rejected, or every parameter can be read.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine::internal;
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::Folder folder;
    folder.unpack(vitrine::fuzz::text_of(bytes),
                  {"config.json", "model.safetensors", "model.safetensors.index.json",
                   "pytorch_model.bin", "pytorch_model.bin.index.json", "a", "b"});
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    for_each_parameter(checkpoint.config(), [&](const Parameter& parameter) {
      if (parameter.shape.rank() == 2)
        (void)checkpoint.weight(parameter.name);
      else
        (void)checkpoint.vector(parameter.name);
      checkpoint.release(parameter.name);
    });
  });
}
