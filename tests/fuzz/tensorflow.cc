// SPDX-License-Identifier: MIT
#include "engine/checkpoint/tensorflow.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/read_tensors.h"

// Any index beside sound files: it is rejected, or its tensors lie inside the data.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::Folder folder;
    folder.write("hparams.json",
                 R"({"n_vocab": 258, "n_ctx": 12, "n_embd": 8, "n_head": 2, "n_layer": 2})");
    for (const char* data : {"m.data-00000-of-00001", "m.data-00000-of-00003",
                             "m.data-00001-of-00003", "m.data-00002-of-00003"})
      folder.write(data, std::string(20000, 'x'));
    folder.write("m.index", vitrine::fuzz::text_of(bytes));
    vitrine::fuzz::read_tensors(
        vitrine::internal::read_tensorflow_checkpoint(folder.path() / "m.index").files);
  });
}
