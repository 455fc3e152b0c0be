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

Model adapted(const std::string& name, const ModelOptions& options = {}) {
  ModelOptions own = options;
  own.adapter = kRelatives + "adapter_" + name;
  return Model::load(kRelatives + "base", own);
}

TEST(Adapter, IsMergedAsPeftHasIt) {
  for (const char* name : {"plain", "rslora", "patterns", "saved_head", "saved_embedding",
                           "embedding", "head", "biases", "lora_bias"}) {
    SCOPED_TRACE(name);
    const Model model = adapted(name);
    expect_logits(model, std::string("adapter_") + name);
    EXPECT_TRUE(says(model.load_report().notes.back(), "merged into", "an adapter of 'base'"));
    EXPECT_EQ(model.load_report().warning, "");
  }
}

TEST(Adapter, UntiesTheTableThatItChanges) {
  EXPECT_TRUE(adapted("plain").config().tied_unembedding);
  for (const char* name : {"saved_head", "saved_embedding", "embedding", "head"})
    EXPECT_FALSE(adapted(name).config().tied_unembedding) << name;
  const Model model = adapted("embedding");
  const Tensor before = Model::load(kRelatives + "base").unembedding(std::vector<int32_t>{3}),
               after = model.unembedding(std::vector<int32_t>{3}),
               embedding = model.embed(std::vector<int32_t>{3});
  EXPECT_TRUE(std::ranges::equal(before.f32(), after.f32()));
  EXPECT_FALSE(std::ranges::equal(before.f32(), embedding.f32()));
  const Tensor head = adapted("head").unembedding(std::vector<int32_t>{3});
  EXPECT_FALSE(std::ranges::equal(before.f32(), head.f32()));
}

TEST(Adapter, IsPartOfWhatConvertWrites) {
  const TempFolder folder;
  convert_checkpoint(kRelatives + "base", folder / "merged",
                     {.adapter = kRelatives + "adapter_embedding"});
  const Model model = Model::load((folder / "merged").string());
  expect_logits(model, "adapter_embedding");
  EXPECT_FALSE(model.config().tied_unembedding);
}

TEST(Adapter, WithoutItsModelIsNamed) {
  EXPECT_TRUE(says(error_of([] { Model::load(kRelatives + "adapter_plain"); }),
                   "is an adapter (PEFT) of the model 'base'", "`adapter`"));
}

/// The error of an adapter whose configuration has another value of a field.
std::string error_with(const std::string& field, const Json& value) {
  const TempFolder folder;
  for (const auto& entry : fs::directory_iterator(kRelatives + "adapter_plain"))
    fs::copy(entry.path(), folder / entry.path().filename().string());
  Json config = read_json(folder / "adapter_config.json");
  config[field] = value;
  folder.write("adapter_config.json", config.dump());
  return error_of([&] { Model::load(kRelatives + "base", {.adapter = folder.path()}); });
}

TEST(BadAdapter, WhatChangesTheFunctionIsRefusedByName) {
  EXPECT_TRUE(says(error_of([] { adapted("dora"); }), "use_dora is true", "merge_and_unload"));
  EXPECT_TRUE(says(error_with("peft_type", "IA3"), "peft_type is 'IA3'", "LORA"));
  EXPECT_TRUE(says(error_with("init_lora_weights", "pissa_niter_4"), "'pissa_niter_4'"));
  EXPECT_TRUE(says(error_with("layer_replication", {{0, 1}}), "layer_replication"));
  EXPECT_TRUE(says(error_with("a_field_of_tomorrow", 1), "a_field_of_tomorrow is 1"));
  EXPECT_EQ(error_with("a_field_of_tomorrow", nullptr), "(no error)");
  EXPECT_TRUE(says(error_with("alpha_pattern", {{"c_.*", 2}}), "alpha_pattern", "'c_.*'"));
  EXPECT_TRUE(says(error_with("lora_alpha", "six"), "lora_alpha is 'six'"));
}

TEST(BadAdapter, TensorsThatDoNotFitTheModel) {
  const TempFolder folder;
  const auto error = [&](const std::string& name, const Shape& shape) {
    folder.write("adapter_config.json",
                 read_bytes(kRelatives + "adapter_plain/adapter_config.json"));
    const Tensor tensor(DType::kF32, shape);
    SafetensorsWriter::write(folder / "adapter_model.safetensors", {{name, tensor.view()}});
    return error_of([&] { Model::load(kRelatives + "base", {.adapter = folder.path()}); });
  };
  const std::string module = "base_model.model.transformer.h.0.attn.c_attn.";
  EXPECT_TRUE(
      says(error(module + "lora_A.weight", {2, 8}), "missing a factor", "'h.0.attn.c_attn'"));
  EXPECT_TRUE(says(error(module + "lora_magnitude_vector", {24}), "lora_magnitude_vector",
                   "the model has no parameter"));
  EXPECT_TRUE(says(error("base_model.model.score.weight", {2, 8}), "'score.weight'"));
  EXPECT_TRUE(says(error("base_model.model.transformer.wte.weight", {14, 8}), "has shape [14, 8]",
                   "requires [13, 8]"));
  EXPECT_TRUE(
      says(error_of([] { Model::load(kRelatives + "base", {.adapter = kRelatives + "base"}); }),
           "is not an adapter", "adapter_config.json"));
  EXPECT_TRUE(says(error_of([] { Model::load(kRelatives + "base", {.adapter = "none/such"}); }),
                   "`adapter`: unknown model 'none/such'"));
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
    EXPECT_TRUE(says(model.load_report().notes.at(0), "missing tokenizer.ggml.merges",
                     "works by token ids"));
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
  EXPECT_EQ(model.config().context, 12);
  EXPECT_EQ(model.config().windows, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(model.config().whole_context(), 4);
  EXPECT_TRUE(says(model.load_report().notes.at(0), "1 of 2 layers", "the nearest 4 positions"));
  EXPECT_EQ(model.load_report().warning, "");
  const Model global = Model::load(kRelatives + "gpt_neo_global");
  expect_logits(global, "gpt_neo_global");
  EXPECT_EQ(global.config().context, 12);
  EXPECT_TRUE(global.config().windows.empty());
  EXPECT_EQ(global.config().inner, 20);
}

TEST(Tensorflow, OpenAisReleaseIsRead) {
  const Model model = Model::load(kRelatives + "tensorflow");
  expect_logits(model, "tensorflow");
  EXPECT_TRUE(says(model.load_report().warning, "global_step")) << "it is not read";
  EXPECT_EQ(model.encode("ab a"), (std::vector<int32_t>{256, 32, 97}));
  EXPECT_EQ(model.end_ids(), (std::vector<int32_t>{257}));
  expect_logits(Model::load(kRelatives + "tensorflow/model.ckpt.index"), "tensorflow");
  const TempFolder folder;
  convert_checkpoint(kRelatives + "tensorflow", folder / "gpt2");
  const Model converted = Model::load((folder / "gpt2").string());
  expect_logits(converted, "tensorflow");
  EXPECT_EQ(converted.encode("ab a"), (std::vector<int32_t>{256, 32, 97}));
}

// LevelDB has written this index (tools/make_table_goldens.cc): keys share beginnings, begin anew
// at every third one, and fill blocks of about 200 bytes.
TEST(Tensorflow, IndexesOfSeveralBlocksAndDataOfSeveralFilesAreRead) {
  expect_logits(Model::load(kRelatives + "tensorflow_blocks"), "tensorflow");
}

class BadTensorflow : public ::testing::Test {
 protected:
  explicit BadTensorflow(const char* kind = "tensorflow") {
    for (const auto& entry : fs::directory_iterator(kRelatives + kind))
      fs::copy(entry.path(), folder_ / entry.path().filename().string());
  }
  std::string error() const {
    return error_of([&] { Checkpoint::open(folder_.path()); });
  }
  std::string error_with(const char* file, const std::string& bytes) const {
    const std::string before = read_bytes(folder_ / file);
    folder_.write(file, bytes);
    const std::string line = error();
    folder_.write(file, before);
    return line;
  }
  static std::string replaced(std::string bytes, const std::string& from, const std::string& to) {
    return bytes.replace(bytes.find(from), from.size(), to);
  }

  /// Each is refused in one line or harmless.
  void expect_damaged(const std::string& index, size_t step) const {
    for (size_t size = 0; size < index.size(); size += 41)
      EXPECT_NE(error_with(kIndex, index.substr(0, size)), "(no error)") << size;
    for (size_t at = 0; at < index.size(); at += step) {
      for (const char value : {'\0', '\x7f', '\xff'}) {
        std::string changed = index;
        changed[at] = value;
        error_with(kIndex, changed);
      }
    }
  }

  const TempFolder folder_;
  const char* const kIndex = "model.ckpt.index";
  const char* const kData = "model.ckpt.data-00000-of-00001";
};

TEST_F(BadTensorflow, IsRefusedByWhatIsWrong) {
  EXPECT_EQ(error(), "(no error)");
  const std::string index = read_bytes(folder_ / kIndex), data = read_bytes(folder_ / kData);
  EXPECT_TRUE(says(error_with(kData, data.substr(0, data.size() - 9)), "truncated", "ends before"));
  EXPECT_TRUE(says(error_with("hparams.json", "{}"), "hparams.json", "n_layer"));
  EXPECT_TRUE(
      says(error_with("hparams.json", R"({"n_vocab": 258, "n_ctx": 12, "n_embd": 8, "n_head": 2,
      "n_layer": 3})"),
           "missing tensor 'h.2.ln_1.weight'", "hparams.json"));
  EXPECT_TRUE(says(error_with("hparams.json", R"({"n_vocab": 258, "n_ctx": 12, "n_embd": 16,
      "n_head": 2, "n_layer": 2})"),
                   "has shape [258, 8]", "requires [258, 16]"));
  EXPECT_TRUE(
      says(error_with(kIndex, replaced(index, "ln_f/b", "ln_f/c")), "missing tensor 'ln_f.bias'"));
  fs::copy_file(folder_ / kIndex, folder_ / "other.index");
  EXPECT_TRUE(says(error(), "holds several models: model.ckpt.index, other.index"));
  fs::remove(folder_ / "other.index");
  fs::remove(folder_ / kData);
  EXPECT_TRUE(says(error(), kData));
  folder_.write(kData, data);
  fs::remove(folder_ / "hparams.json");
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder_ / kIndex); }),
                   "hparams.json: no such file: expected it next to"));
}

TEST_F(BadTensorflow, DamagedIndexesAreRefused) {
  const std::string index = read_bytes(folder_ / kIndex);
  expect_damaged(index, 3);
  std::string compressed = index;
  // The last trailer before the footer is the index block's.
  compressed[index.size() - 48 - 5] = 1;
  EXPECT_TRUE(says(error_with(kIndex, compressed), "compressed"));
}

class BadTensorflowBlocks : public BadTensorflow {
 protected:
  BadTensorflowBlocks() : BadTensorflow("tensorflow_blocks") {}
};

TEST_F(BadTensorflowBlocks, AreRefusedByWhatIsWrong) {
  EXPECT_EQ(error(), "(no error)");
  const std::string index = read_bytes(folder_ / kIndex);
  const auto error_of_index = [&](const std::string& from, const std::string& to) {
    EXPECT_NE(index.find(from), std::string::npos);
    return error_with(kIndex, replaced(index, from, to));
  };
  expect_damaged(index, 11);
  EXPECT_TRUE(says(error_with(kIndex, read_bytes(folder_ / "compressed.table")),
                   "compressed with Snappy", "save it again"));
  // Places of blocks as the index block has them: the last one's, that before it.
  const std::string last = "\xd7\x06\xd7\x01", previous = "\xfb\x04\xd7\x01";
  EXPECT_TRUE(says(error_of_index(previous, last), "duplicate tensor"));
  EXPECT_TRUE(says(error_of_index(last, "\xd7\x7f\xd7\x01"), "outside of the file"));
  EXPECT_TRUE(says(error_of_index("\x18\x02", "\x18\x07"), "is in file 7 of 3"));
  EXPECT_TRUE(says(error_of_index("\x08\x03\x1a", "\x08\x02\x1a"), "data-0000", "-of-00002"));
  // The second beginning of the first block's keys and their number.
  const std::string beginning("\x52\0\0\0", 4), two("\2\0\0\0", 4);
  EXPECT_TRUE(says(error_of_index(beginning + two, beginning + "\xff\xff\xff\xff"),
                   "a block is truncated"));
  fs::remove(folder_ / "model.ckpt.data-00001-of-00003");
  EXPECT_TRUE(says(error(), "model.ckpt.data-00001-of-00003"));
}

std::vector<float> logits_of(const vitrine::Run& run) { return run.logits().to_f32(); }

TEST(GptNeo, ConvertedItsContextIsTheWindow) {
  const TempFolder folder;
  const std::string source = kRelatives + "gpt_neo_window";
  const ConvertedCheckpoint made = convert_checkpoint(source, folder / "gpt2");
  EXPECT_TRUE(says(made.notes.back(), "context is 8", "instead of 64"));
  const Model model = Model::load((folder / "gpt2").string());
  EXPECT_EQ(model.config().context, 8);
  const std::vector<int32_t> begin{5, 9, 3, 1, 0, 12, 7, 7};
  EXPECT_EQ(logits_of(model.forward(begin)), logits_of(Model::load(source).forward(begin)));
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
