// SPDX-License-Identifier: MIT
// Random checkpoints on disk: that they are what transformers writes, and nothing half done.

#include "vitrine/checkpoint/random_checkpoint.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/float_bits.h"
#include "base/json.h"
#include "engine/random_weights.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/model.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

Config tiny() {
  Config config;
  config.layers = 2;
  config.heads = 2;
  config.width = 8;
  config.inner = 32;
  config.vocab = 11;
  config.context = 4;
  return config;
}

fs::path demo() { return fs::path(VITRINE_SOURCE_DIR) / "models" / "demo"; }

// What save_pretrained of transformers 5.23 wrote for GPT2LMHeadModel(GPT2Config(n_layer=2,
// n_head=2, n_embd=8, n_positions=4, vocab_size=11)), read back by the safetensors library.
const std::map<std::string, Shape> kHuggingFace = {{"transformer.h.0.attn.c_attn.bias", {24}},
                                                   {"transformer.h.0.attn.c_attn.weight", {8, 24}},
                                                   {"transformer.h.0.attn.c_proj.bias", {8}},
                                                   {"transformer.h.0.attn.c_proj.weight", {8, 8}},
                                                   {"transformer.h.0.ln_1.bias", {8}},
                                                   {"transformer.h.0.ln_1.weight", {8}},
                                                   {"transformer.h.0.ln_2.bias", {8}},
                                                   {"transformer.h.0.ln_2.weight", {8}},
                                                   {"transformer.h.0.mlp.c_fc.bias", {32}},
                                                   {"transformer.h.0.mlp.c_fc.weight", {8, 32}},
                                                   {"transformer.h.0.mlp.c_proj.bias", {8}},
                                                   {"transformer.h.0.mlp.c_proj.weight", {32, 8}},
                                                   {"transformer.h.1.attn.c_attn.bias", {24}},
                                                   {"transformer.h.1.attn.c_attn.weight", {8, 24}},
                                                   {"transformer.h.1.attn.c_proj.bias", {8}},
                                                   {"transformer.h.1.attn.c_proj.weight", {8, 8}},
                                                   {"transformer.h.1.ln_1.bias", {8}},
                                                   {"transformer.h.1.ln_1.weight", {8}},
                                                   {"transformer.h.1.ln_2.bias", {8}},
                                                   {"transformer.h.1.ln_2.weight", {8}},
                                                   {"transformer.h.1.mlp.c_fc.bias", {32}},
                                                   {"transformer.h.1.mlp.c_fc.weight", {8, 32}},
                                                   {"transformer.h.1.mlp.c_proj.bias", {8}},
                                                   {"transformer.h.1.mlp.c_proj.weight", {32, 8}},
                                                   {"transformer.ln_f.bias", {8}},
                                                   {"transformer.ln_f.weight", {8}},
                                                   {"transformer.wpe.weight", {4, 8}},
                                                   {"transformer.wte.weight", {11, 8}}};

TEST(RandomCheckpoint, HoldsTheTensorsThatHuggingFaceWrites) {
  TempFolder folder;
  const uint64_t bytes = write_random_checkpoint(
      folder / "made", {.config = tiny(), .seed = 5, .dtype = DType::kBF16});
  const SafetensorsFile file(folder / "made/model.safetensors");
  std::map<std::string, Shape> found;
  uint64_t sum = 0;
  for (const std::string& name : file.names()) {
    const TensorView tensor = file.tensor(name);
    EXPECT_EQ(tensor.dtype(), DType::kBF16) << name;
    found.emplace(name, tensor.shape());
    sum += tensor.bytes();
  }
  EXPECT_EQ(found, kHuggingFace);
  EXPECT_EQ(bytes, sum);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}))
      << "without it older versions of transformers refuse the file";

  Config untied = tiny();
  untied.tied_unembedding = false;
  write_random_checkpoint(folder / "untied", {.config = untied});
  const SafetensorsFile other(folder / "untied/model.safetensors");
  EXPECT_EQ(other.names().size(), kHuggingFace.size() + 1);
  EXPECT_EQ(other.tensor("lm_head.weight").shape(), (Shape{11, 8}));
}

TEST(RandomCheckpoint, ConfigIsHuggingFaces) {
  TempFolder folder;
  Config config = tiny();
  config.scale_attention_by_inverse_layer = true;
  write_random_checkpoint(folder / "made", {.config = config, .dtype = DType::kF16});
  Json json = read_json(folder / "made/config.json");
  // Of transformers 5.23's own file what changes the model; transformers fills in the rest.
  const Json wanted = {{"activation_function", "gelu_new"},
                       {"architectures", {"GPT2LMHeadModel"}},
                       {"bos_token_id", 10},
                       {"eos_token_id", 10},
                       {"layer_norm_epsilon", 1e-05},
                       {"model_type", "gpt2"},
                       {"n_embd", 8},
                       {"n_head", 2},
                       {"n_inner", nullptr},
                       {"n_layer", 2},
                       {"n_ctx", 4},
                       {"n_positions", 4},
                       {"reorder_and_upcast_attn", false},
                       {"scale_attn_by_inverse_layer_idx", true},
                       {"scale_attn_weights", true},
                       {"tie_word_embeddings", true},
                       {"vocab_size", 11},
                       {"torch_dtype", "float16"}};
  for (const auto& [name, value] : wanted.items()) EXPECT_EQ(json[name], value) << name;
  config.inner = 24;
  write_random_checkpoint(folder / "narrow", {.config = config});
  EXPECT_EQ(read_json(folder / "narrow/config.json")["n_inner"], 24);
}

TEST(RandomCheckpoint, LoadsAsTheModelOfTheSameSeed) {
  TempFolder folder;
  write_random_checkpoint(folder / "wide",
                          {.config = tiny(), .seed = 9, .init = RandomInit::kWide});
  const std::vector<int32_t> ids = {3, 1, 10};
  const Model loaded = Model::load(folder / "wide"), made = Model::random(tiny(), 9);
  const vitrine::Run a = loaded.forward(ids), b = made.forward(ids);
  ASSERT_EQ(a.logits().shape(), (Shape{3, 11}));
  EXPECT_TRUE(
      std::equal(a.logits().f32().begin(), a.logits().f32().end(), b.logits().f32().begin()));
}

TEST(RandomCheckpoint, ElementsAreThoseOfTheFormula) {
  TempFolder folder;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const fs::path path = folder / std::string(dtype_name(dtype));
    write_random_checkpoint(path, {.config = tiny(), .seed = 7, .dtype = dtype});
    const SafetensorsFile file(path / "model.safetensors");
    const RandomWeights weights(tiny(), 7, RandomInit::kGpt2);
    for (const auto& entry : weights.entries()) {
      std::vector<float> wanted(static_cast<size_t>(entry.shape.elements()));
      weights.fill(entry.name, wanted);
      const std::vector<float> found = file.tensor("transformer." + entry.name).to_f32();
      for (size_t i = 0; i < wanted.size(); ++i) {
        const float rounded = dtype == DType::kF16    ? f16_to_f32(f32_to_f16(wanted[i]))
                              : dtype == DType::kBF16 ? bf16_to_f32(f32_to_bf16(wanted[i]))
                                                      : wanted[i];
        ASSERT_EQ(found[i], rounded) << entry.name << " " << i;
      }
    }
  }
}

TEST(RandomCheckpoint, BringsATokenizer) {
  TempFolder folder;
  Config config = tiny();
  config.vocab = 5000;
  write_random_checkpoint(folder / "made", {.config = config, .tokenizer = demo()});
  const auto tokenizer = Tokenizer::load(demo());
  const Model model = Model::load(folder / "made");
  EXPECT_EQ(model.tokenizer().encode("The keys to the cabinet"),
            tokenizer->encode("The keys to the cabinet"));
  ASSERT_TRUE(tokenizer->end_of_text());
  EXPECT_EQ(read_json(folder / "made/config.json")["eos_token_id"], *tokenizer->end_of_text());
  config.vocab = 4000;
  EXPECT_TRUE(says(error_of([&] {
                     write_random_checkpoint(folder / "small",
                                             {.config = config, .tokenizer = demo()});
                   }),
                   "4096", "4000"));
  EXPECT_TRUE(says(error_of([&] {
                     write_random_checkpoint(folder / "none",
                                             {.config = config, .tokenizer = folder.path()});
                   }),
                   "tokenizer.json"));
  EXPECT_EQ(folder.count(), 1u);
}

TEST(RandomCheckpoint, EndedItLeavesNothing) {
  TempFolder folder;
  for (const int tensors : {0, 5, 27}) {
    int asked = 0;
    EXPECT_EQ(write_random_checkpoint(folder / "made", {.config = tiny()},
                                      {.keep_going = [&] { return asked++ < tensors; }}),
              0u);
    EXPECT_EQ(folder.count(), 0u);
  }
}

TEST(RandomCheckpoint, RefusesWhatNoModelIs) {
  TempFolder folder;
  const auto refuse = [&](RandomCheckpoint what) {
    return error_of([&] { write_random_checkpoint(folder / "made", what); });
  };
  RandomCheckpoint what{.config = tiny()};
  what.dtype = DType::kI8;
  EXPECT_TRUE(says(refuse(what), "i8", "bf16"));
  what = {.config = tiny()};
  what.config.heads = 3;
  EXPECT_TRUE(says(refuse(what), "8", "3"));
  what = {.config = tiny()};
  what.config.layers = 0;
  EXPECT_TRUE(says(refuse(what), "n_layer", "0"));
  what = {.config = tiny()};
  what.config.activation = "mish";
  EXPECT_TRUE(says(refuse(what), "mish", "gelu_new"));
  EXPECT_TRUE(says(error_of([] { random_init_from_name("zero"); }), "zero", "wide"));
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace vitrine::testing
