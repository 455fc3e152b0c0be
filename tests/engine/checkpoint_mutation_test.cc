// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/safe_pickle.h"
#include "tests/base/mutate.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::as_bytes;
using testing::read_bytes;
using testing::survives_mutations;
using testing::TempFolder;

const std::string kCheckpoints = VITRINE_SOURCE_DIR "/tests/engine/checkpoints/";

// Opens damaged copies of a golden file, and reads every parameter of those that open.
void damage(const std::string& form, const std::string& name, int count) {
  const TempFolder folder;
  std::filesystem::copy(kCheckpoints + "safetensors/config.json", folder / "config.json");
  survives_mutations(
      read_bytes(kCheckpoints + form + "/" + name), count, [&](const std::string& bytes) {
        const Checkpoint checkpoint = Checkpoint::open(folder.write(name, bytes));
        for (const char* matrix : {"wte.weight", "h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight"})
          (void)checkpoint.weight(matrix);
        for (const char* vector : {"h.1.ln_1.bias", "ln_f.weight", "ln_f.bias"})
          (void)checkpoint.vector(vector);
      });
}

TEST(CheckpointMutations, TorchArchive) { damage("torch", "pytorch_model.bin", 1500); }
TEST(CheckpointMutations, TorchStream) { damage("torch_legacy", "pytorch_model.bin", 1500); }
TEST(CheckpointMutations, Llmc) { damage("llmc", "version3.bin", 1000); }
TEST(CheckpointMutations, Safetensors) { damage("safetensors", "model.safetensors", 1000); }

TEST(CheckpointMutations, Config) {
  survives_mutations(read_bytes(kCheckpoints + "mixed/config.json"), 20000,
                     [](const std::string& text) {
                       const Config config = parse_config(text, "c").config;
                       EXPECT_GT(config.head_width(), 0);
                     });
}

TEST(CheckpointMutations, Pickle) {
  const std::string file = read_bytes(kCheckpoints + "torch_legacy/pytorch_model.bin");
  const size_t begin = file.find(
      "\x80\x02"
      "ccollections");
  ASSERT_NE(begin, std::string::npos);
  survives_mutations(file.substr(begin), 10000,
                     [](const std::string& bytes) { Pickle(as_bytes(bytes), "p"); });
}

}  // namespace
}  // namespace vitrine
