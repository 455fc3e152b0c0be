// SPDX-License-Identifier: MIT
// What is a GPT-2 once it is read: models with LoRA adapters and GPT-Neo, against the libraries
// that define them (tools/make_relative_goldens.py).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/checkpoint/checkpoint.h"
#include "tests/base/test_files.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::read_bytes;
using testing::says;
using testing::TempFolder;

const std::string kRelatives = VITRINE_SOURCE_DIR "/tests/engine/relatives/";

void expect_logits(const Model& model, const std::string& folder) {
  const Json expected = read_json(kRelatives + folder + "/expected.json");
  const vitrine::Run run = model.forward(expected.at("ids").get<std::vector<int32_t>>());
  const std::vector<float> logits = run.logits().to_f32();
  size_t i = 0;
  for (const Json& row : expected.at("logits")) {
    for (const double value : row) ASSERT_NEAR(logits.at(i++), value, 2e-5) << folder;
  }
  EXPECT_EQ(i, logits.size());
}

TEST(Gguf, IsWhatItsOwnLibraryDequantises) {
  for (const char* type : {"f32", "f16", "bf16", "q8_0"}) {
    SCOPED_TRACE(type);
    const Model model = Model::load(kRelatives + "gguf/" + type + ".gguf");
    expect_logits(model, std::string("gguf/") + type);
    EXPECT_EQ(model.config().activation, "gelu_new");
    EXPECT_TRUE(model.config().tied_unembedding);
    EXPECT_EQ(model.end_ids(), std::vector<int32_t>{7});
    EXPECT_EQ(model.load_report().warning, "");
    EXPECT_TRUE(says(model.load_report().notes.at(0), "the tokenizer inside the file is not read"));
  }
  EXPECT_TRUE(says(error_of([] { Model::load(kRelatives + "gguf/q4_0.gguf"); }),
                   "its weights are q4_0: expected f32, f16, bf16 or q8_0"));
}

TEST(Gguf, TheOnlyFileOfAFolderIsTaken) {
  const TempFolder folder;
  const std::string bytes = read_bytes(kRelatives + "gguf/q8_0.gguf");
  folder.write("m.gguf", bytes);
  EXPECT_EQ(Checkpoint::open(folder.path()).config().layers, 1);
  folder.write("n.gguf", bytes);
  EXPECT_TRUE(
      says(error_of([&] { Checkpoint::open(folder.path()); }), "several models", "m.gguf, n.gguf"));
}

TEST(BadGguf, IsRefusedByWhatIsWrong) {
  const std::string bytes = read_bytes(kRelatives + "gguf/q8_0.gguf");
  const TempFolder folder;
  const auto error = [&](const std::string& changed) {
    return error_of([&] { Checkpoint::open(folder.write("m.gguf", changed)); });
  };
  for (size_t length = 4; length < bytes.size(); length += 997)
    EXPECT_TRUE(says(error(bytes.substr(0, length)), "truncated")) << length;
  const auto with = [&](size_t at, const std::string& replacement) {
    std::string changed = bytes;
    return changed.replace(at, replacement.size(), replacement);
  };
  EXPECT_TRUE(says(error(with(4, "\x01")), "of version 1", "expected one of version 2 or 3"));
  const std::string huge(7, '\xff');
  EXPECT_TRUE(says(error(with(8, huge)), "tensors"));
  EXPECT_TRUE(says(error(with(16, huge)), "m.gguf: is a GGUF file"));
  EXPECT_TRUE(
      says(error(with(bytes.find("gpt2", 32), "bert")), "'bert'", "expected the architecture"));
  const size_t width = bytes.find("gpt2.embedding_length") + 21 + 4;
  EXPECT_TRUE(says(error(with(width, "\x21")), "n_embd is 33: expected a multiple of n_head"));
  EXPECT_TRUE(says(error(with(width, "\x22")), "has shape", "requires"));
}

TEST(GptNeo, IsThatOfTransformers) {
  const Model model = Model::load(kRelatives + "gpt_neo");
  expect_logits(model, "gpt_neo");
  EXPECT_FALSE(model.config().scale_attention);
  EXPECT_EQ(model.config().context, 4) << "the window of its local layer";
  EXPECT_TRUE(says(model.load_report().notes.at(0), "1 of 2 layers", "the nearest 4 positions",
                   "4 instead of 12"));
  EXPECT_EQ(model.load_report().warning, "");
  const Model global = Model::load(kRelatives + "gpt_neo_global");
  expect_logits(global, "gpt_neo_global");
  EXPECT_EQ(global.config().context, 12);
  EXPECT_EQ(global.config().inner, 20);
}

TEST(BadGptNeo, IsRefusedByName) {
  const TempFolder folder;
  folder.write("model.safetensors", read_bytes(kRelatives + "gpt_neo/model.safetensors"));
  Json config = read_json(kRelatives + "gpt_neo/config.json");
  const auto error = [&](const char* field, const Json& value) {
    Json own = config;
    own[field] = value;
    folder.write("config.json", own.dump());
    return error_of([&] { Checkpoint::open(folder.path()); });
  };
  EXPECT_TRUE(says(error("attention_layers", {"global", "sparse"}), "attention_layers", "'local'"));
  EXPECT_TRUE(says(error("attention_layers", {"global"}), "expected 2 layers"));
  EXPECT_TRUE(says(error("num_layers", 3), "attention_layers", "expected 3 layers"));
  EXPECT_TRUE(says(error("hidden_size", 16), "has shape [8, 8]: expected [16, 16]"));
  config.erase("attention_layers");
  EXPECT_TRUE(says(error("attention_types", 3), "attention_types"));
  EXPECT_TRUE(says(error("attention_types", {{{"global"}, 1e18}}), "attention_types"));
}

}  // namespace
}  // namespace vitrine
