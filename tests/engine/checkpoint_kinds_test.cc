// SPDX-License-Identifier: MIT
// What people have beside plain checkpoints: the files of training programs, prefixes, float64,
// configurations as Python writes them, tokenizers that do not fit.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/base/test_files.h"
#include "tests/engine/checkpoint_golden.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/model.h"

namespace vitrine {
using namespace internal;
using namespace testing::checkpoint_golden;
namespace {

using testing::error_of;
using testing::read_bytes;
using testing::says;
using testing::TempFolder;

TEST(Checkpoint, ReadsWhatNanoGptSaves) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "nanogpt");
  expect_golden(checkpoint, 4 * kWidth);
  EXPECT_TRUE(checkpoint.config().tied_unembedding);
  EXPECT_EQ(checkpoint.config().activation, "gelu");
  EXPECT_TRUE(says(checkpoint.report().notes.at(0), "ckpt.pt's model_args", "gelu"));
  EXPECT_EQ(checkpoint.report().warning, "");
  expect_golden(Checkpoint::open(kGoldens + "nanogpt/ckpt.pt"), 4 * kWidth);
}

TEST(Checkpoint, BiasesThatNanoGptLeavesOutAreZero) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "nanogpt_no_bias");
  expect_matrix(checkpoint, "h.1.attn.c_attn.weight", kWidth, 3 * kWidth);
  expect_vector(checkpoint, "h.1.ln_2.weight", kWidth);
  for (const char* name : {"h.0.ln_1.bias", "ln_f.bias", "h.1.attn.c_proj.bias"}) {
    EXPECT_TRUE(checkpoint.has(name));
    EXPECT_EQ(checkpoint.vector(name), std::vector<float>(kWidth)) << name;
    checkpoint.release(name);
  }
}

TEST(Checkpoint, AConfigurationBesideNanoGptsFileCounts) {
  const TempFolder folder;
  folder.write("ckpt.pt", read_bytes(kGoldens + "nanogpt/ckpt.pt"));
  folder.write("config.json",
               R"({"n_layer": 2, "n_head": 2, "n_embd": 4, "vocab_size": 7, "n_positions": 5,
                   "activation_function": "gelu_new"})");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_golden(checkpoint, 4 * kWidth);
  EXPECT_EQ(checkpoint.config().activation, "gelu_new");
}

/// The golden model with each tensor once under every prefix.
void write_prefixed(const TempFolder& folder, const std::vector<std::string>& prefixes) {
  const SafetensorsFile golden(kGoldens + "safetensors/model.safetensors");
  std::vector<std::pair<std::string, TensorView>> tensors;
  for (const std::string& prefix : prefixes) {
    for (const std::string& name : golden.names())
      tensors.emplace_back(prefix + name, golden.tensor(name));
  }
  SafetensorsWriter::write(folder / "model.safetensors", tensors);
  folder.write("config.json", read_bytes(kGoldens + "safetensors/config.json"));
}

TEST(Checkpoint, OnePrefixOfAllNamesIsLeftOut) {
  for (const char* prefix : {"module.", "_orig_mod.transformer.", "pretrained_model.", "a.b.c."}) {
    const TempFolder folder;
    write_prefixed(folder, {prefix});
    expect_golden(Checkpoint::open(folder.path()));
  }
}

TEST(BadCheckpoint, TwoModels) {
  const TempFolder folder;
  write_prefixed(folder, {"policy.", "reference."});
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder.path()); }), "several models",
                   "'policy.'", "'reference.'"));
  write_prefixed(folder, {"", "reference."});
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_golden(checkpoint);
  EXPECT_EQ(checkpoint.report().unread_tensors.size(), 28u);
}

TEST(Checkpoint, NarrowsFloat64AndSaysSo) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "f64");
  EXPECT_EQ(checkpoint.dominant_dtype(), DType::kF32);
  EXPECT_TRUE(says(checkpoint.report().notes.at(0), "28 tensors are f64, narrowed to f32"));
}

TEST(BadCheckpoint, Float64BeyondFloat32) {
  const TempFolder folder;
  std::string bytes = read_bytes(kGoldens + "f64/model.safetensors");
  const double huge = 1e39;
  std::memcpy(bytes.data() + bytes.size() - sizeof(huge), &huge, sizeof(huge));
  folder.write("model.safetensors", bytes);
  folder.write("config.json", read_bytes(kGoldens + "f64/config.json"));
  const std::string last = SafetensorsFile(folder / "model.safetensors").names().back();
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_TRUE(says(error_of([&] { checkpoint.weight(last); }), last, "is 1e+39",
                   "expected a finite number of float32"));
}

TEST(Checkpoint, TextsEndWhereTheFilesSay) {
  const auto end_ids = [](const char* config, const char* generation) {
    const TempFolder folder;
    folder.write("model.safetensors", read_bytes(kGoldens + "safetensors/model.safetensors"));
    std::string text = read_bytes(kGoldens + "safetensors/config.json");
    folder.write("config.json", text.substr(0, text.rfind('}')) + config + "}");
    if (generation != nullptr) folder.write("generation_config.json", generation);
    return Checkpoint::open(folder.path()).end_ids();
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(end_ids("", nullptr), Ids());
  EXPECT_EQ(end_ids(R"(, "eos_token_id": 3)", nullptr), Ids({3}));
  EXPECT_EQ(end_ids(R"(, "eos_token_id": 3)", R"({"eos_token_id": [1, 2]})"), Ids({1, 2}));
  EXPECT_EQ(end_ids(R"(, "eos_token_id": 3)", "{}"), Ids({3}));
  EXPECT_EQ(end_ids(R"(, "eos_token_id": [3, 7])", nullptr), Ids({3}))
      << "the model has no token 7";
}

TEST(Checkpoint, AnUntiedModelWithArgumentsHasGeluNew) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "mingpt");
  expect_golden(checkpoint, 4 * kWidth);
  expect_matrix(checkpoint, "lm_head.weight", kWidth, kVocab, true);
  EXPECT_EQ(checkpoint.config().activation, "gelu_new");
  EXPECT_TRUE(says(checkpoint.report().notes.at(0), "gelu_new", "minGPT"));
  EXPECT_EQ(checkpoint.report().warning, "");
}

TEST(Checkpoint, LinearLayersMayBeTransposed) {
  const TempFolder folder;
  const SafetensorsFile golden(kGoldens + "safetensors/model.safetensors");
  std::vector<std::pair<std::string, TensorView>> tensors;
  std::vector<Tensor> kept;
  for (const std::string& name : golden.names()) {
    const TensorView view = golden.tensor(name);
    if (view.shape().rank() == 2 && name.starts_with("h.")) {
      const int64_t in = view.shape()[0], out = view.shape()[1];
      kept.emplace_back(DType::kF32, Shape{out, in});
      for (int64_t i = 0; i < in * out; ++i)
        kept.back().f32()[static_cast<size_t>(i % out * in + i / out)] =
            view.f32()[static_cast<size_t>(i)];
      tensors.emplace_back(name, kept.back().view());
    } else {
      tensors.emplace_back(name, view);
    }
  }
  SafetensorsWriter::write(folder / "model.safetensors", tensors);
  folder.write("config.json", read_bytes(kGoldens + "safetensors/config.json"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_golden(checkpoint);
  EXPECT_TRUE(says(checkpoint.report().notes.at(0), "[out, in]", "transposed"));
}

/// A safetensors file of the golden model and one more tensor of any dtype.
void write_with_foreign(const TempFolder& folder, const std::string& name, bool instead) {
  const std::string bytes = read_bytes(kGoldens + "safetensors/model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  std::string header = bytes.substr(8, length);
  const std::string data = bytes.substr(8 + length) + "12345";
  if (instead) header.replace(header.find('"' + name + '"'), name.size() + 2, "\"other\"");
  header.resize(header.rfind('}'));
  header += ",\"" + name + R"(":{"dtype":"F8_E4M3","shape":[5],"data_offsets":[)" +
            std::to_string(data.size() - 5) + "," + std::to_string(data.size()) + "]}}";
  length = header.size();
  folder.write("model.safetensors",
               std::string(reinterpret_cast<const char*>(&length), 8) + header + data);
  folder.write("config.json", read_bytes(kGoldens + "safetensors/config.json"));
}

TEST(Checkpoint, WhatIsNotReadMayBeOfAnyType) {
  const TempFolder folder;
  write_with_foreign(folder, "scales", false);
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_golden(checkpoint);
  EXPECT_EQ(checkpoint.report().unread_tensors, std::vector<std::string>{"scales"});
  write_with_foreign(folder, "ln_f.bias", true);
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder.path()); }), "'ln_f.bias'",
                   "is 'F8_E4M3': expected f32, f16, bf16 or f64"));
  // By tools/make_checkpoint_goldens.py: complex64, uint16 and float8 beside the weights.
  const Checkpoint torch = Checkpoint::open(kGoldens + "torch_foreign");
  expect_golden(torch);
  EXPECT_EQ(torch.report().unread_tensors,
            (std::vector<std::string>{"complex", "float8", "uint16"}));
}

TEST(Checkpoint, FindsTheOnlyFileOfLlmc) {
  const TempFolder folder;
  folder.write("gpt2_124M.bin", read_bytes(kGoldens + "llmc/version3.bin"));
  folder.write("gpt2_tokenizer.bin", "another format");
  expect_golden(Checkpoint::open(folder.path()), 4 * kWidth);
  folder.write("gpt2_124M_bf16.bin", read_bytes(kGoldens + "llmc/version5.bin"));
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder.path()); }), "several models",
                   "gpt2_124M.bin, gpt2_124M_bf16.bin", "name the file"));
}

TEST(BadCheckpoint, NamesWhatIsThere) {
  const TempFolder folder;
  const auto error = [&] { return error_of([&] { Checkpoint::open(folder.path()); }); };
  std::filesystem::create_directories(folder / ".cache/huggingface/download");
  folder.write(".cache/huggingface/download/abc.incomplete", "x");
  EXPECT_TRUE(says(error(), "no checkpoint found", "abc.incomplete", "unfinished download"));
  folder.write("flax_model.msgpack", "\x81\xa1w");
  EXPECT_TRUE(says(error(), "flax_model.msgpack: is a Flax checkpoint", "save_pretrained"));
  folder.write("__0_0.distcp", "x");
  EXPECT_TRUE(says(error(), "__0_0.distcp: is part of a distributed checkpoint", "dcp_to_torch"));
  folder.write("model.fp16.safetensors", "x");
  EXPECT_TRUE(says(error(), "it has model.fp16.safetensors", "name the file"));
  std::filesystem::create_directory(folder / "checkpoint-500");
  EXPECT_TRUE(says(error(), "checkpoints of a training: checkpoint-500"));
  std::filesystem::create_symlink("../../blobs/none", folder / "pytorch_model.bin");
  EXPECT_TRUE(says(error(), "pytorch_model.bin: is a link to ../../blobs/none", "unfinished"));
}

TEST(BadCheckpoint, NamesOtherModelsByTheirBytes) {
  const TempFolder folder;
  const auto error = [&](const std::string& bytes) {
    return error_of([&] { Checkpoint::open(folder.write("weights", bytes)); });
  };
  folder.write("config.json", "{}");
  EXPECT_TRUE(says(error(std::string("\x08\x07\x12\x07pytorch", 11)), "is an ONNX model"));
  EXPECT_TRUE(says(error("\x81\xabtransformer\x83"), "is a Flax checkpoint (MessagePack)"));
  EXPECT_TRUE(
      says(error("<!DOCTYPE html><html><title>404"), "is text that begins with '<!DOCTYPE"));
}

TEST(Checkpoint, ReadsAConfigurationAsPythonDoes) {
  const TempFolder folder;
  folder.write("model.safetensors", read_bytes(kGoldens + "safetensors/model.safetensors"));
  const std::string text = read_bytes(kGoldens + "safetensors/config.json");
  const auto with = [&](const std::string& more) {
    folder.write("config.json", text.substr(0, text.rfind('}')) + more + "}");
  };
  with(R"(, "x": NaN, "y": [-Infinity, "NaN \" Infinity"], "n_layer": 9, "n_layer": 2)");
  expect_golden(Checkpoint::open(folder.path()));
  with(R"(, "layer_norm_epsilon": NaN)");
  EXPECT_TRUE(
      says(error_of([&] { Checkpoint::open(folder.path()); }), "layer_norm_epsilon is 'NaN'"));
}

/// The golden model with a tokenizer.json beside it.
Model with_tokenizer(const TempFolder& folder, const std::string& tokenizer,
                     const ModelOptions& options = {}) {
  for (const char* file : {"model.safetensors", "config.json"})
    folder.write(file, read_bytes(kGoldens + "safetensors/" + file));
  folder.write("tokenizer.json", tokenizer);
  return Model::load(folder.path().string(), options);
}

TEST(Model, LoadsWhateverItsTokenizerIs) {
  for (const char* tokenizer : {R"({"model": {"type": "Chars", "vocab": {"a": 0}}})", "{", "",
                                "version https://git-lfs.github.com/spec/v1\n"}) {
    const TempFolder folder;
    const Model model = with_tokenizer(folder, tokenizer);
    EXPECT_EQ(model.shared_tokenizer(), nullptr);
    const vitrine::Run run = model.forward(std::vector<int32_t>{1, 2, 3});
    EXPECT_EQ(run.logits().shape(), (Shape{3, kVocab}));
    const std::string why = error_of([&] { model.tokenizer(); });
    EXPECT_TRUE(says(why, "tokenizer.json"));
    EXPECT_TRUE(says(model.load_report().notes.at(0), why, "works by token ids"));
  }
}

TEST(Model, TextsGetTheTokensThatTheFilesPutAroundThem) {
  using Ids = std::vector<int32_t>;
  const std::string tokenizer =
      R"({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2},
      "unk_token": "c"}, "pre_tokenizer": {"type": "WhitespaceSplit"},
      "post_processor": {"type": "BertProcessing", "cls": ["f", 5], "sep": ["g", 6]}})";
  const TempFolder folder;
  const auto ids = [&](const ModelOptions& options) {
    return with_tokenizer(folder, tokenizer, options).encode("b a");
  };
  EXPECT_EQ(ids({}), (Ids{5, 1, 0, 6}));
  EXPECT_EQ(ids({.bos = "none"}), (Ids{1, 0}));
  EXPECT_EQ(ids({.bos = "3"}), (Ids{3, 1, 0}));
  for (const char* bos : {"", "all", "-1", "3x"})
    EXPECT_TRUE(says(error_of([&] { ids({.bos = bos}); }), "expected auto, none or a token id"))
        << bos;
  const Model model = with_tokenizer(folder, tokenizer);
  const auto pieces = model.encode_with_spans("b a");
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].end, 0u);
  EXPECT_EQ(pieces[1].end, 1u);
  EXPECT_EQ(pieces[3].begin, 3u);
  EXPECT_TRUE(says(model.load_report().tokenizer, "tokenizer.json", "beside the weights"));
  // Another tokenizer, and one that is damaged: it was requested by name, so its error is thrown.
  const auto other = folder.write(
      "other.json",
      R"({"model": {"type": "WordLevel", "vocab": {"a": 4, "b": 3}, "unk_token": "a"}, "pre_tokenizer": {"type": "WhitespaceSplit"}})");
  EXPECT_EQ(ids({.tokenizer = other.string()}), (Ids{3, 4}));
  folder.write("other.json", "{");
  EXPECT_TRUE(says(error_of([&] { ids({.tokenizer = other.string()}); }), "other.json"));
}

TEST(Model, ATokenizerMayHaveMoreTokens) {
  // Nine tokens, two more than the model: a padding token and an end of text that it never gives.
  std::string vocabulary, added;
  for (const char* token : {"a", "b", "c", "d", "e", "f", "g"})
    vocabulary += (vocabulary.empty() ? "" : ", ") + std::string("\"") + token +
                  "\": " + std::to_string(token[0] - 'a');
  for (const auto& [id, token] : {std::pair(7, "<pad>"), std::pair(8, "<|endoftext|>")})
    added += (added.empty() ? "" : ", ") + std::string(R"({"id": )") + std::to_string(id) +
             R"(, "content": ")" + token +
             R"(", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,)" +
             R"( "special": true})";
  const TempFolder folder;
  const Model model = with_tokenizer(
      folder, R"({"added_tokens": [)" + added + R"(], "pre_tokenizer": {"type": "ByteLevel",)" +
                  R"( "add_prefix_space": false, "use_regex": true}, "model": {"type": "BPE",)" +
                  R"( "unk_token": null, "vocab": {)" + vocabulary + R"(}, "merges": []}})");
  ASSERT_NE(model.shared_tokenizer(), nullptr) << error_of([&] { model.tokenizer(); });
  EXPECT_EQ(model.tokenizer().vocab_size(), 9);
  EXPECT_TRUE(says(model.load_report().notes.at(0), "the tokenizer has 9 tokens, the model 7"));
  EXPECT_EQ(model.end_ids(), std::vector<int32_t>()) << "the model has no token 8";
}

}  // namespace
}  // namespace vitrine
