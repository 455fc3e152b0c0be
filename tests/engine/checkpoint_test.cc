// SPDX-License-Identifier: MIT
#include "engine/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/float_bits.h"
#include "base/json.h"
#include "tests/base/test_files.h"
#include "tests/engine/checkpoint_golden.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using namespace testing::checkpoint_golden;
using testing::error_of;
using testing::read_bytes;
using testing::says;
using testing::TempFolder;

class EveryForm : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryForm, HasTheSameWeights) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + GetParam());
  EXPECT_TRUE(checkpoint.config().tied_unembedding);
  EXPECT_FALSE(checkpoint.has("lm_head.weight"));
  EXPECT_EQ(checkpoint.weight("lm_head.weight").data, checkpoint.weight("wte.weight").data);
  expect_golden(checkpoint);
  for (const char* name : {"wte.weight", "h.1.mlp.c_fc.weight", "h.0.ln_1.bias"})
    checkpoint.release(name);
  expect_golden(checkpoint);  // a released tensor can be read again
}

// Among them one whose tensors begin at odd addresses of its file.
TEST_P(EveryForm, GivesTheSameLogits) {
  const auto logits = [](const std::string& form) {
    const Model model = Model::load(kGoldens + form, {.dtype = DType::kF32, .threads = 2});
    const std::vector<int32_t> ids = {1, 5, 0};
    const vitrine::Run run = model.forward(ids);
    return run.logits().to_f32();
  };
  EXPECT_EQ(logits(GetParam()), logits("safetensors"));
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, EveryForm,
                         ::testing::Values("safetensors", "safetensors/model.safetensors",
                                           "odd_offset", "mixed", "sharded",
                                           "sharded/model.safetensors.index.json", "torch",
                                           "torch/pytorch_model.bin", "torch_legacy",
                                           "torch_sharded", "lightning", "deepspeed", "f64"),
                         [](const auto& form) {
                           std::string name = form.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); },
                               '_');
                           return name;
                         });

TEST(Checkpoint, ReadsLlmcAndLeavesItsPaddingBehind) {
  const Checkpoint full = Checkpoint::open(kGoldens + "llmc/version3.bin");
  expect_golden(full, 4 * kWidth);
  EXPECT_EQ(full.dominant_dtype(), DType::kF32);
  EXPECT_EQ(full.config().activation, "gelu_new");
  const Checkpoint half = Checkpoint::open(kGoldens + "llmc/version5.bin");
  expect_golden(half, 4 * kWidth);
  EXPECT_EQ(half.dominant_dtype(), DType::kBF16);
}

TEST(Checkpoint, HonoursASeparateUnembedding) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "untied");
  EXPECT_FALSE(checkpoint.config().tied_unembedding);
  EXPECT_TRUE(checkpoint.has("lm_head.weight"));
  expect_matrix(checkpoint, "lm_head.weight", kWidth, kVocab, true);
  expect_golden(checkpoint);
}

TEST(Checkpoint, TellsWhatItDidNotUse) {
  const LoadReport mixed = Checkpoint::open(kGoldens + "mixed").report();
  EXPECT_EQ(mixed.unread_tensors, std::vector<std::string>{"score.weight"});
  EXPECT_EQ(mixed.warning, kGoldens +
                               "mixed: not read: 1 tensor that GPT-2 does not have "
                               "('score.weight')");
  EXPECT_EQ(Checkpoint::open(kGoldens + "torch").report().unread_tensors,
            std::vector<std::string>{"steps"});
  const LoadReport plain = Checkpoint::open(kGoldens + "safetensors").report();
  EXPECT_EQ(plain.unread_tensors, std::vector<std::string>{});
  EXPECT_EQ(plain.warning, "");
}

TEST(Checkpoint, CallsOnlyParametersByName) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "safetensors");
  EXPECT_TRUE(says(error_of([&] { (void)checkpoint.weight("h.2.attn.c_attn.weight"); }),
                   "'h.2.attn.c_attn.weight'"));
  EXPECT_TRUE(says(error_of([&] { (void)checkpoint.weight("ln_f.bias"); }), "expected a matrix"));
  EXPECT_TRUE(says(error_of([&] { (void)checkpoint.vector("wte.weight"); }), "expected a vector"));
}

// A copy of the safetensors golden whose tensors and configuration a test may change before it is
// opened.
class Changed {
 public:
  Changed() {
    const SafetensorsFile file(kGoldens + "safetensors/model.safetensors");
    for (const std::string& name : file.names()) {
      const TensorView view = file.tensor(name);
      Tensor copy(view.dtype(), view.shape());
      std::memcpy(copy.data(), view.data(), view.bytes());
      tensors.emplace_back(name, copy);
    }
  }
  Tensor& at(const std::string& name) {
    for (auto& [own, tensor] : tensors) {
      if (own == name) return tensor;
    }
    throw std::logic_error(name);
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const auto& entry) { return entry.first == name; });
  }
  Checkpoint open(const std::string& config_changes = "") const {
    std::string config = read_bytes(kGoldens + "safetensors/config.json");
    if (!config_changes.empty())
      config = config.substr(0, config.rfind('}')) + "," + config_changes + "}";
    folder.write("config.json", config);
    std::vector<std::pair<std::string, TensorView>> views(tensors.begin(), tensors.end());
    SafetensorsWriter::write(folder / "model.safetensors", views);
    return Checkpoint::open(folder.path());
  }
  std::string error(const std::string& config_changes = "") const {
    return error_of([&] { open(config_changes); });
  }

  std::vector<std::pair<std::string, Tensor>> tensors;
  TempFolder folder;
};

TEST(Checkpoint, NamesEveryTensorThatItDoesNotRead) {
  Changed changed;
  const auto add = [&](const std::string& name, const Shape& shape) {
    changed.tensors.emplace_back(name, Tensor(DType::kF32, shape));
  };
  add("h.0.attn.c_attn.lora_A.weight", {2, 4});
  add("h.0.attn.c_attn.lora_B.weight", {12, 2});
  add("h.0.crossattention.c_attn.weight", {4, 8});
  add("h.1.attn.bias", {1, 1, 3, 3});  // the causal mask
  add("h.1.attn.masked_bias", {});
  add("position_ids", {1, 3});
  add("h.0.attn.bias", {12});  // not a mask: a bias of another layout
  const LoadReport report = changed.open(R"("rope_theta": 10000, "layer_norm_eps": 1e-6)").report();
  EXPECT_EQ(report.unread_tensors,
            (std::vector<std::string>{"h.0.attn.bias", "h.0.attn.c_attn.lora_A.weight",
                                      "h.0.attn.c_attn.lora_B.weight",
                                      "h.0.crossattention.c_attn.weight"}));
  EXPECT_EQ(report.unread_fields, (std::vector<std::string>{"layer_norm_eps", "rope_theta"}));
  EXPECT_TRUE(says(report.warning, changed.folder.path().string(),
                   "not read: 4 tensors that GPT-2 does not have ('h.0.attn.bias', "
                   "'h.0.attn.c_attn.lora_A.weight', 'h.0.attn.c_attn.lora_B.weight', ...); 2 "
                   "unknown fields of config.json ('layer_norm_eps', 'rope_theta')"));
}

TEST(Checkpoint, NamesAnAdapterBesideTheModel) {
  Changed changed;
  changed.folder.write("adapter_model.safetensors", "x");
  EXPECT_TRUE(
      says(changed.open().report().warning, "not read: the adapter ", "adapter_model.safetensors"));
}

TEST(Checkpoint, RowsAreThoseOfTheFile) {
  const Checkpoint checkpoint = Checkpoint::open(kGoldens + "untied");
  for (const char* name : {"lm_head.weight", "wte.weight"}) {
    const Tensor rows = checkpoint.rows(name, std::vector<int32_t>{2, 0});
    EXPECT_EQ(rows.shape(), (Shape{2, kWidth}));
    for (int64_t i = 0; i < kWidth; ++i) {
      EXPECT_EQ(rows.f32()[static_cast<size_t>(i)], golden(name, 2 * kWidth + i));
      EXPECT_EQ(rows.f32()[static_cast<size_t>(kWidth + i)], golden(name, i));
    }
  }
}

TEST(BadCheckpoint, SaysWhatIsThereInsteadOfAModel) {
  const TempFolder folder;
  const auto error = [&] { return error_of([&] { Checkpoint::open(folder.path()); }); };
  folder.write("model.gguf", "GGUF");  // and no more
  EXPECT_TRUE(says(error(), "model.gguf: is a GGUF file", "use the model's safetensors"));
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder / "model.gguf"); }), "is a GGUF file"));
  EXPECT_TRUE(
      says(error_of([&] { Checkpoint::open(folder.write("weights", "\x89HDF\r\n\x1a\n")); }),
           "weights: is an HDF5 file: expected a checkpoint"));
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "gpt2"})");
  EXPECT_TRUE(says(error(), "is an adapter (PEFT) of the model 'gpt2', not a model", "`adapter`"));
  folder.write("config.json", read_bytes(kGoldens + "safetensors/config.json"));
  folder.write("model.safetensors",
               "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 548105171\n");
  EXPECT_TRUE(says(error(), "model.safetensors: is a Git LFS pointer", "git lfs pull"));
  folder.write("model.safetensors", "Entry not found");
  EXPECT_TRUE(says(error(), "model.safetensors: is text that begins with 'Entry not found'"));
  folder.write("model.safetensors", "\x89HDF\r\n\x1a\n and more");
  EXPECT_TRUE(says(error(), "model.safetensors: is an HDF5 file"));
  SafetensorsWriter::write(folder / "model.safetensors", {});
  folder.write("config.json", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
  EXPECT_TRUE(says(error(), "config.json: is a Git LFS pointer"));
}

/// The golden model in two shards, with an index that a test writes.
class Shards {
 public:
  Shards() {
    folder.write("config.json", read_bytes(kGoldens + "safetensors/config.json"));
    for (const auto& [name, tensor] : all.tensors) index["weight_map"][name] = "a";
    write("a", all.tensors);
  }
  void write(const std::string& name, const std::vector<std::pair<std::string, Tensor>>& some) {
    SafetensorsWriter::write(
        folder / name, std::vector<std::pair<std::string, TensorView>>(some.begin(), some.end()));
  }
  Checkpoint open() const {
    folder.write("model.safetensors.index.json", index.dump());
    return Checkpoint::open(folder.path());
  }

  Changed all;
  Json index;
  TempFolder folder;
};

TEST(Checkpoint, TheIndexDecidesWhichCopyCounts) {
  Shards shards;
  Tensor other(DType::kF32, {kWidth});
  other.f32()[0] = 7;
  shards.write("b", {{"ln_f.bias", other}, {"extra", other}});
  shards.index["weight_map"]["ln_f.bias"] = "b";
  EXPECT_EQ(shards.open().vector("ln_f.bias")[0], 7);
  shards.index["weight_map"].erase("ln_f.bias");
  shards.index["weight_map"]["extra"] = "b";
  EXPECT_TRUE(says(error_of([&] { shards.open(); }), "duplicate tensor"));
}

TEST(Checkpoint, ShardsMayLieInFoldersBelow) {
  Shards shards;
  std::filesystem::create_directory(shards.folder / "part");
  shards.write("part/b", {{"ln_f.bias", shards.all.at("ln_f.bias")}});
  shards.index["weight_map"]["ln_f.bias"] = "part/b";
  expect_golden(shards.open());
  for (const char* outside : {"/etc/passwd", "part/../../b", "./a", "part/", "part\\b"}) {
    shards.index["weight_map"]["ln_f.bias"] = outside;
    EXPECT_TRUE(says(error_of([&] { shards.open(); }), "in the same folder or below"));
  }
}

TEST(Checkpoint, ATiedUnembeddingNeedsNoTensor) {
  Shards shards;
  shards.index["weight_map"]["lm_head.weight"] = "a";
  EXPECT_TRUE(shards.open().config().tied_unembedding);
}

TEST(BadCheckpoint, MissingTensor) {
  Changed changed;
  EXPECT_EQ(changed.error(), "(no error)");
  changed.remove("h.1.ln_2.bias");
  EXPECT_TRUE(says(changed.error(), changed.folder.path().string(),
                   "missing tensor 'h.1.ln_2.bias' (or 'transformer.h.1.ln_2.bias')"));
}

TEST(BadCheckpoint, WrongShape) {
  Changed changed;
  changed.at("h.0.mlp.c_fc.weight") = Tensor(DType::kF32, {4, 5});
  EXPECT_TRUE(says(changed.error(), "model.safetensors", "'h.0.mlp.c_fc.weight'",
                   "has shape [4, 5]", "config.json requires [4, 6]"));
  changed.at("h.0.mlp.c_fc.weight") = Tensor(DType::kF32, {6, 4});
  EXPECT_TRUE(says(changed.error(), "has shape [6, 4]", "it is transposed"));
}

TEST(BadCheckpoint, WrongDtype) {
  Changed changed;
  changed.at("ln_f.bias") = Tensor(DType::kI64, {4});
  EXPECT_TRUE(says(changed.error(), "'ln_f.bias'", "is i64: expected f32, f16, bf16 or f64"));
}

TEST(BadCheckpoint, NaN) {
  Changed changed;
  changed.at("h.1.mlp.c_proj.weight").f32()[9] = NAN;
  changed.at("ln_f.bias").f32()[3] = INFINITY;
  const Checkpoint checkpoint = changed.open();
  EXPECT_TRUE(says(error_of([&] { (void)checkpoint.weight("h.1.mlp.c_proj.weight"); }),
                   "'h.1.mlp.c_proj.weight'", "element [2, 1]", "NaN or infinite"));
  EXPECT_TRUE(
      says(error_of([&] { (void)checkpoint.vector("ln_f.bias"); }), "'ln_f.bias'", "element [3]"));
}

TEST(BadCheckpoint, NaNInAModelThatIsLoaded) {
  for (const DType store : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
    for (const float value : {NAN, INFINITY, -INFINITY}) {
      Changed changed;
      changed.at("h.1.mlp.c_proj.weight").f32()[9] = value;
      changed.open();
      const std::string said = error_of(
          [&] { Model::load(changed.folder.path().string(), {.dtype = store, .threads = 2}); });
      EXPECT_TRUE(says(said, "model.safetensors: tensor 'h.1.mlp.c_proj.weight'", "element [2, 1]",
                       "is NaN or infinite"));
    }
  }
}

TEST(BadCheckpoint, NaNInATransposedView) {
  const TempFolder folder;
  std::string bytes = read_bytes(kGoldens + "llmc/version3.bin");
  // Its first c_attn.weight, [3 D, D] there, follows wte (padded to 128 rows), wpe and two layers
  // of ln_1.
  const size_t weights = 1024 + 4 * (128 * 4 + 5 * 4 + 2 * 4 + 2 * 4);
  const float nan = NAN;
  std::memcpy(bytes.data() + weights + 4 * (7 * 4 + 2), &nan, 4);
  const Checkpoint checkpoint = Checkpoint::open(folder.write("model.bin", bytes));
  EXPECT_TRUE(says(error_of([&] { (void)checkpoint.weight("h.0.attn.c_attn.weight"); }),
                   "'h.0.attn.c_attn.weight'", "element [2, 7]"));
}

TEST(BadCheckpoint, ConfigThatContradictsTheTensors) {
  Changed changed;
  EXPECT_TRUE(
      says(changed.error(R"("n_ctx": 5, "activation_function": "relu", "layer_norm_epsilon": 0.1)"),
           "(no error)"));
  const std::string base = read_bytes(kGoldens + "safetensors/config.json");
  const auto with = [&](const std::string& field, const std::string& value) {
    std::string text = base;
    const size_t at = text.find("\"" + field + "\"");
    const size_t end = text.find_first_of(",\n", at);
    text.replace(at, end - at, "\"" + field + "\": " + value);
    changed.folder.write("config.json", text);
    return error_of([&] { Checkpoint::open(changed.folder.path()); });
  };
  EXPECT_TRUE(
      says(with("n_layer", "3"), "missing tensor 'h.2.ln_1.weight'", "config.json requires"));
  EXPECT_TRUE(says(with("n_layer", "1"), "'h.1.", "belongs to layer 1", "n_layer = 1"));
  EXPECT_TRUE(says(with("vocab_size", "8"), "'wte.weight'", "has shape [7, 4]", "requires [8, 4]"));
  EXPECT_TRUE(
      says(with("n_positions", "6"), "'wpe.weight'", "has shape [5, 4]", "requires [6, 4]"));
  EXPECT_TRUE(says(with("n_embd", "8"), "has shape [7, 4]", "requires [7, 8]"));
  EXPECT_TRUE(
      says(with("n_inner", "null"), "mlp.c_fc.weight'", "has shape [4, 6]", "requires [4, 16]"));
  EXPECT_TRUE(says(with("n_head", "3"), "n_embd is 4: expected a multiple of n_head = 3"));
}

TEST(BadCheckpoint, UnembeddingThatContradictsTheConfig) {
  Changed changed;
  EXPECT_TRUE(says(changed.error(R"("tie_word_embeddings": false)"),
                   "missing tensor 'lm_head.weight'", "tie_word_embeddings = false"));
  Tensor head(DType::kF32, {kVocab, kWidth});
  std::memcpy(head.data(), changed.at("wte.weight").data(), head.view().bytes());
  changed.tensors.emplace_back("lm_head.weight", head);
  EXPECT_TRUE(changed.open().config().tied_unembedding)
      << "equal bytes are tied, whatever the config says";
  EXPECT_TRUE(changed.open(R"("tie_word_embeddings": false)").config().tied_unembedding);
  head.f32()[27] += 1;
  const Checkpoint own = changed.open();
  EXPECT_FALSE(own.config().tied_unembedding) << "as transformers 5 has it";
  EXPECT_TRUE(says(own.report().warning, "'lm_head.weight'", "differs from wte.weight",
                   "does not say tie_word_embeddings = false"));
  const Checkpoint said = changed.open(R"("tie_word_embeddings": false)");
  EXPECT_FALSE(said.config().tied_unembedding);
  EXPECT_EQ(said.report().warning, "");
}

TEST(Checkpoint, AnUnembeddingInAnotherTypeMayBeTheEmbedding) {
  Changed changed;
  Tensor head(DType::kF16, {kVocab, kWidth});
  for (size_t i = 0; i < static_cast<size_t>(kVocab * kWidth); ++i)
    static_cast<uint16_t*>(head.data())[i] = f32_to_f16(changed.at("wte.weight").f32()[i]);
  changed.tensors.emplace_back("lm_head.weight", head);
  EXPECT_TRUE(changed.open().config().tied_unembedding);
  EXPECT_FALSE(changed.open(R"("tie_word_embeddings": false)").config().tied_unembedding)
      << "its roundings are its own";
  static_cast<uint16_t*>(head.data())[5] ^= 1;
  EXPECT_FALSE(changed.open().config().tied_unembedding);
}

TEST(Checkpoint, HasABiasOfTheUnembedding) {
  Changed changed;
  Tensor bias(DType::kF32, {kVocab});
  bias.f32()[3] = 2;
  changed.tensors.emplace_back("lm_head.bias", bias);
  EXPECT_TRUE(changed.open().config().unembedding_bias);
  EXPECT_EQ(changed.open().vector("lm_head.bias")[3], 2);
  EXPECT_EQ(changed.open().report().warning, "");
  changed.remove("lm_head.bias");
  EXPECT_FALSE(changed.open().config().unembedding_bias);
  changed.tensors.emplace_back("lm_head.bias", Tensor(DType::kF32, {kVocab - 1}));
  EXPECT_TRUE(says(changed.error(), "'lm_head.bias'", "has shape [6]", "requires [7]"));
}

TEST(Checkpoint, ATableIsFiniteWhereItIsRead) {
  Changed changed;
  changed.at("wte.weight").f32()[4 * kWidth + 1] = NAN;
  changed.at("wpe.weight").f32()[3 * kWidth] = INFINITY;
  const Checkpoint checkpoint = changed.open();
  (void)checkpoint.weight("wte.weight");
  (void)checkpoint.weight("wpe.weight");
  EXPECT_EQ(checkpoint.non_finite_rows("wte.weight"), std::vector<int32_t>{4});
  EXPECT_EQ(checkpoint.non_finite_rows("wpe.weight"), std::vector<int32_t>{3});
  const Model model = Model::load(changed.folder.path().string());
  EXPECT_TRUE(says(model.load_report().warning, "'wte.weight': row 4 is NaN or infinite",
                   "'wpe.weight': row 3"));
  using Ids = std::vector<int32_t>;
  const auto hidden = model.forward(Ids{1, 2, 3}, Hooks().capture("ln_final.hook_normalized"),
                                    {.logits = LogitRows::kNone});
  for (const float x : hidden["ln_final.hook_normalized"].to_f32()) EXPECT_TRUE(std::isfinite(x));
  EXPECT_TRUE(says(error_of([&] {
                     model.forward(Ids{1, 4});
                   }),
                   "token id 4 at position 1", "row 4 of wte.weight"));
  EXPECT_TRUE(says(error_of([&] {
                     model.forward(Ids{1, 1, 1, 1});
                   }),
                   "position 3 of sequence 0", "row 3 of wpe.weight"));
  EXPECT_TRUE(says(error_of([&] { (void)model.embed(Ids{4}); }), "token id 4"));
  EXPECT_TRUE(
      says(error_of([&] { Model::load(changed.folder.path().string(), {.dtype = DType::kI8}); }),
           "row 4", "int8 cannot hold", "load the weights as f32"));
}

TEST(BadCheckpoint, OneTensorUnderTwoNames) {
  Changed changed;
  changed.tensors.emplace_back("transformer.wpe.weight", changed.at("wpe.weight"));
  EXPECT_TRUE(
      says(changed.error(), "'wpe.weight'", "'transformer.wpe.weight'", "duplicate tensor"));
}

TEST(BadCheckpoint, NothingThere) {
  const TempFolder folder;
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder.path()); }), "no checkpoint found",
                   "model.safetensors", "pytorch_model.bin"));
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder / "none"); }), "none: no such file"));
  folder.write("model.safetensors", "x");
  EXPECT_TRUE(
      says(error_of([&] { Checkpoint::open(folder.path()); }), "config.json: no such file"));
  folder.write("config.json", "{}");
  EXPECT_TRUE(says(error_of([&] { Checkpoint::open(folder.path()); }), "model.safetensors",
                   "truncated: has 1 bytes"));
}

// The sharded golden with its index replaced.
std::string index_error(const std::string& index, const char* form = "sharded",
                        const char* name = "model.safetensors.index.json") {
  const TempFolder folder;
  std::filesystem::copy(kGoldens + form, folder.path(), std::filesystem::copy_options::recursive);
  folder.write(name, index);
  return error_of([&] { Checkpoint::open(folder.path()); });
}

TEST(BadCheckpoint, Index) {
  EXPECT_TRUE(says(index_error("{}"), "weight_map is missing"));
  EXPECT_TRUE(says(index_error(R"({"weight_map": [1]})"), "weight_map is a list"));
  EXPECT_TRUE(says(index_error(R"({"weight_map": {"w": 3}})"), "'w' is 3: expected a file name"));
  EXPECT_TRUE(says(index_error(R"({"weight_map": {"w": "../../secret"}})"), "'../../secret'",
                   "same folder"));
  EXPECT_TRUE(says(index_error(R"({"weight_map": {"w": ".."}})"), "same folder"));
  EXPECT_TRUE(says(index_error(R"({"weight_map": {"w": "none.safetensors"}})"),
                   "none.safetensors: no such file"));
  EXPECT_TRUE(says(index_error(R"({"weight_map": {"w": "model-00001-of-00002.safetensors"}})"),
                   "missing tensor 'w'"));
  EXPECT_TRUE(
      says(index_error(
               R"({"weight_map": {"transformer.wte.weight": "model-00001-of-00002.safetensors"}})"),
           "missing tensor 'wpe.weight'"));
}

TEST(BadCheckpoint, HostilePickles) {
  EXPECT_TRUE(says(error_of([] { Checkpoint::open(kGoldens + "hostile_system"); }),
                   "hostile_system", "pickle uses 'posix.system'", "not loaded"));
  EXPECT_TRUE(says(error_of([] { Checkpoint::open(kGoldens + "hostile_eval"); }),
                   "pickle uses '__builtin__.eval'", "not loaded"));
  EXPECT_TRUE(says(error_of([] { Checkpoint::open(kGoldens + "hostile_set"); }),
                   "pickle uses '__builtin__.set'", "not loaded"));
}

std::string torch_error(const std::function<void(std::string&)>& change,
                        const char* form = "torch") {
  const TempFolder folder;
  std::filesystem::copy(kGoldens + "torch/config.json", folder / "config.json");
  std::string bytes = read_bytes(kGoldens + form + "/pytorch_model.bin");
  change(bytes);
  folder.write("pytorch_model.bin", bytes);
  return error_of([&] { Checkpoint::open(folder.path()); });
}

void replace(std::string& bytes, const std::string& from, const std::string& to) {
  const size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  bytes.replace(at, from.size(), to);
}

TEST(BadCheckpoint, DamagedTorchFile) {
  EXPECT_EQ(torch_error([](std::string&) {}), "(no error)");
  EXPECT_TRUE(says(torch_error([](std::string& b) { b.resize(b.size() / 2); }), "pytorch_model.bin",
                   "damaged zip", "truncated"));
  EXPECT_TRUE(
      says(torch_error([](std::string& b) { replace(b, "\x80\x02", "\x80\x04"); }), "protocol 4"));
  EXPECT_TRUE(says(torch_error([](std::string& b) { replace(b, "FloatStorage", "FlootStorage"); }),
                   "'torch.FlootStorage'", "not loaded"));
  EXPECT_TRUE(says(torch_error([](std::string& b) { replace(b, "little", "BIGEND"); }),
                   "byte order 'BIGEND'"));
  // wte has 28 elements: K 28 in its storage; the pickle says so once before its sizes.
  EXPECT_TRUE(says(torch_error([](std::string& b) { replace(b, "K\x1c", "K\x1b"); }), "'",
                   "exceed its storage of 27 elements"));
  EXPECT_TRUE(says(torch_error([](std::string& b) { replace(b, "K\x1c", "K\x1d"); }),
                   "its storage is 112 bytes, which does not match 29 elements of f32"));
}

TEST(BadCheckpoint, DamagedLegacyTorchFile) {
  EXPECT_TRUE(says(torch_error([](std::string& b) { b.resize(b.size() - 20); }, "torch_legacy"),
                   "truncated in storage"));
  EXPECT_TRUE(says(torch_error([](std::string& b) { b.resize(100); }, "torch_legacy"), "pickle",
                   "truncated"));
  EXPECT_TRUE(says(torch_error([](std::string& b) { b[16] = 'x'; }, "torch_legacy"),
                   "expected a file written by torch.save"));
  EXPECT_TRUE(
      says(torch_error([](std::string& b) { replace(b, "K\x1c", "K\x1d"); }, "torch_legacy"),
           "its storage is 112 bytes"));
}

TEST(BadCheckpoint, DamagedLlmcFile) {
  const TempFolder folder;
  const auto error = [&](const std::function<void(std::string&)>& change) {
    std::string bytes = read_bytes(kGoldens + "llmc/version3.bin");
    change(bytes);
    return error_of([&] { Checkpoint::open(folder.write("model.bin", bytes)); });
  };
  const auto header = [&](size_t index, int32_t value) {
    return error([=](std::string& bytes) { std::memcpy(bytes.data() + 4 * index, &value, 4); });
  };
  EXPECT_TRUE(says(error([](std::string& b) { b.resize(1000); }), "model.bin",
                   "1000 bytes are fewer than"));
  EXPECT_TRUE(says(error([](std::string& b) { b.resize(b.size() - 4); }), "truncated"));
  EXPECT_TRUE(
      says(error([](std::string& b) { b += "tail"; }), "4 extra bytes after the last parameter"));
  EXPECT_TRUE(says(header(1, 4), "version 4: expected 3 (float32) or 5 (bfloat16)"));
  EXPECT_TRUE(says(header(2, 0), "n_positions is 0"));
  EXPECT_TRUE(says(header(4, -1), "n_layer is -1"));
  EXPECT_TRUE(says(header(6, INT32_MAX), "n_embd is 2147483647"));
  EXPECT_TRUE(says(header(5, 3), "expected a multiple of n_head = 3"));
  EXPECT_TRUE(says(header(7, 6), "padded vocabulary 6"));
  EXPECT_TRUE(says(header(7, INT32_MAX), "padded vocabulary 2147483647"));
}

TEST(Checkpoint, OpensThePublishedSmallModels) {
  const std::string models = VITRINE_TEST_DATA "/models/";
  if (!std::filesystem::exists(models)) GTEST_SKIP() << "no additional test data in " << models;
  const Checkpoint sorter = Checkpoint::open(models + "gpt-nano-sort");
  EXPECT_FALSE(sorter.config().tied_unembedding);
  EXPECT_EQ(sorter.weight("lm_head.weight").out, 3);
  EXPECT_EQ(sorter.report().warning, "");
  const Checkpoint names = Checkpoint::open(models + "makemore-names");
  EXPECT_EQ(names.config().layers, 4);
  EXPECT_EQ(names.vector("ln_f.bias").size(), 64u);
}

}  // namespace
}  // namespace vitrine
