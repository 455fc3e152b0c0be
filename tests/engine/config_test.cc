// SPDX-License-Identifier: MIT
#include "engine/checkpoint/config.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::error_of;
using testing::says;

ParsedConfig parse(const std::string& fields) {
  return parse_config("{" + fields + "}", "config.json");
}

std::string refused(const std::string& fields) {
  return error_of([&] { parse(fields); });
}

TEST(Config, HasTheDefaultsOfGPT2Config) {
  const Config config = parse("").config;
  EXPECT_EQ(config.layers, 12);
  EXPECT_EQ(config.heads, 12);
  EXPECT_EQ(config.width, 768);
  EXPECT_EQ(config.inner, 3072);
  EXPECT_EQ(config.vocab, 50257);
  EXPECT_EQ(config.context, 1024);
  EXPECT_EQ(config.layer_norm_epsilon, 1e-5f);
  EXPECT_EQ(config.activation, "gelu_new");
  EXPECT_TRUE(config.scale_attention);
  EXPECT_FALSE(config.scale_attention_by_inverse_layer);
  EXPECT_TRUE(config.tied_unembedding);
}

TEST(Config, NamesUnknownFields) {
  EXPECT_EQ(parse(R"("n_layer": 2, "rope_theta": 1e4, "n_positions": 8, "afn": "relu",
                     "torch_dtype": "float16", "task_specific_params": {}, "use_cache": true)")
                .unknown,
            (std::vector<std::string>{"afn", "rope_theta"}));
  EXPECT_TRUE(says(refused(R"("add_cross_attention": true)"), "add_cross_attention"));
  EXPECT_TRUE(says(refused(R"("activation_function": "mish")"), "activation_function is 'mish'"));
}

TEST(Config, ReadsWhatTransformersReads) {
  EXPECT_EQ(parse(R"("n_positions": 32, "n_ctx": "thirty-two")").config.context, 32)
      << "transformers does not read n_ctx";
  EXPECT_EQ(parse(R"("n_ctx": 64)").config.context, 64);
  EXPECT_TRUE(says(refused(R"("n_ctx": "x")"), "n_ctx is 'x'"));
  EXPECT_EQ(activation_from_name("gelu_python"), activation_from_name("gelu"));
  EXPECT_EQ(activation_from_name("gelu_accurate"), activation_from_name("gelu_new"));
  EXPECT_EQ(activation_from_name("gelu_python_tanh"), activation_from_name("gelu_new"));
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(parse(R"("eos_token_id": 286)").end_ids, Ids({286}));
  EXPECT_EQ(parse(R"("eos_token_id": [1, 2])").end_ids, Ids({1, 2}));
  EXPECT_EQ(parse(R"("eos_token_id": null)").end_ids, Ids());
}

TEST(Config, HonoursEveryFieldOfTheArithmetic) {
  const ParsedConfig parsed = parse(
      R"("model_type": "gpt2", "n_layer": 3, "n_head": 5, "n_embd": 20, "n_inner": 7, "vocab_size": 11,
      "n_positions": 13, "n_ctx": 99, "layer_norm_epsilon": 0.25, "activation_function": "silu", "scale_attn_weights": false,
      "scale_attn_by_inverse_layer_idx": true, "tie_word_embeddings": false, "reorder_and_upcast_attn": true,
      "add_cross_attention": false, "quantization_config": null, "attn_pdrop": 0.1, "pruned_heads": {})");
  const Config& config = parsed.config;
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.heads, 5);
  EXPECT_EQ(config.width, 20);
  EXPECT_EQ(config.head_width(), 4);
  EXPECT_EQ(config.inner, 7);
  EXPECT_EQ(config.vocab, 11);
  EXPECT_EQ(config.context, 13);
  EXPECT_EQ(config.layer_norm_epsilon, 0.25f);
  EXPECT_EQ(config.activation, "silu");
  EXPECT_FALSE(config.scale_attention);
  EXPECT_TRUE(config.scale_attention_by_inverse_layer);
  EXPECT_FALSE(config.tied_unembedding);
  ASSERT_EQ(parsed.notes.size(), 1u);
  EXPECT_TRUE(says(parsed.notes[0], "reorder_and_upcast_attn"));
}

TEST(Config, KnowsTheSecondNames) {
  const Config config =
      parse(R"("num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "n_ctx": 9)")
          .config;
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.heads, 2);
  EXPECT_EQ(config.width, 8);
  EXPECT_EQ(config.context, 9);
  EXPECT_TRUE(says(refused(R"("n_embd": 768, "hidden_size": 24)"),
                   "hidden_size is 24: contradicts n_embd = 768"));
}

TEST(Config, RefusesByNameWhatIsNotGPT2) {
  EXPECT_TRUE(says(refused(R"("model_type": "gpt_neox")"),
                   "config.json: model_type is 'gpt_neox': expected 'gpt2'"));
  for (const char* other : {"openai-gpt", "gptj", "gpt_bigcode", "imagegpt", ""})
    EXPECT_TRUE(says(refused(R"("model_type": ")" + std::string(other) + '"'), "expected 'gpt2'"));
  for (const char* fork : {"gpt2-custom", "mistral-gpt2", "GPT-2", "my_gpt2"}) {
    const ParsedConfig parsed = parse(R"("model_type": ")" + std::string(fork) + '"');
    EXPECT_TRUE(says(parsed.notes.at(0), fork, "taken for gpt2's"));
  }
  EXPECT_TRUE(says(refused(R"("model_type": 2)"), "model_type is 2"));
  EXPECT_TRUE(says(refused(R"("add_cross_attention": true)"), "add_cross_attention is true"));
  EXPECT_TRUE(says(refused(R"("is_encoder_decoder": true)"), "is_encoder_decoder is true"));
  EXPECT_TRUE(
      says(refused(R"("quantization_config": {"bits": 4})"), "quantization_config", "float32"));
  EXPECT_TRUE(says(refused(R"("pruned_heads": {"1": [2]})"), "pruned_heads"));
  EXPECT_TRUE(says(refused(R"("attention_head_type": "multiquery")"),
                   "attention_head_type is 'multiquery'"));
  EXPECT_TRUE(says(refused(R"("auto_map": {"AutoModel": "x.Y"})"), "auto_map"));
}

TEST(Config, RefusesImpossibleSizes) {
  EXPECT_TRUE(
      says(refused(R"("n_layer": 0)"), "config.json: n_layer is 0: expected an integer from 1"));
  EXPECT_TRUE(says(refused(R"("n_layer": -1)"), "n_layer is -1"));
  EXPECT_TRUE(says(refused(R"("n_head": "12")"), "n_head is '12'"));
  EXPECT_TRUE(says(refused(R"("n_embd": 768.5)"), "n_embd is 768.5"));
  EXPECT_TRUE(says(refused(R"("n_embd": 9223372036854775807)"), "n_embd is 9223372036854775807"));
  EXPECT_TRUE(says(refused(R"("n_embd": 18446744073709551616)"), "n_embd is"));
  EXPECT_TRUE(says(refused(R"("vocab_size": 4294967296)"), "vocab_size is 4294967296"));
  EXPECT_TRUE(says(refused(R"("n_positions": 1000000000000)"), "n_positions is 1000000000000"));
  EXPECT_TRUE(says(refused(R"("n_head": 7)"), "n_embd is 768: expected a multiple of n_head = 7"));
  EXPECT_TRUE(says(refused(R"("layer_norm_epsilon": 0)"), "layer_norm_epsilon is 0"));
  EXPECT_TRUE(says(refused(R"("layer_norm_epsilon": -1e-5)"), "layer_norm_epsilon is -1e-05"));
  EXPECT_TRUE(says(refused(R"("layer_norm_epsilon": "1e-5")"), "expected a number"));
  EXPECT_TRUE(says(refused(R"("layer_norm_epsilon": 1e300)"), "layer_norm_epsilon is 1e+300"));
  EXPECT_TRUE(says(refused(R"("scale_attn_weights": 1)"),
                   "scale_attn_weights is 1: expected true or false"));
  EXPECT_TRUE(says(error_of([] { parse_config("[1]", "config.json"); }), "config.json",
                   "expected a JSON object"));
}

TEST(Activation, HasHuggingFacesNames) {
  EXPECT_EQ(activation_from_name("gelu_new"), Activation::kGeluTanh);
  EXPECT_EQ(activation_from_name("gelu_pytorch_tanh"), Activation::kGeluTanh);
  EXPECT_EQ(activation_from_name("gelu_fast"), Activation::kGeluTanh);
  EXPECT_EQ(activation_from_name("gelu"), Activation::kGeluErf);
  EXPECT_EQ(activation_from_name("quick_gelu"), Activation::kGeluQuick);
  EXPECT_EQ(activation_from_name("relu"), Activation::kRelu);
  EXPECT_EQ(activation_from_name("silu"), Activation::kSilu);
  EXPECT_EQ(activation_from_name("swish"), Activation::kSilu);
  EXPECT_EQ(activation_from_name("tanh"), Activation::kTanh);
  EXPECT_TRUE(says(error_of([] { activation_from_name("mish"); }),
                   "unknown activation_function 'mish'", "gelu_new, gelu_pytorch_tanh", "tanh"));
  EXPECT_TRUE(says(refused(R"("activation_function": "mish")"),
                   "config.json: activation_function is 'mish': expected one of gelu_new"));
  EXPECT_TRUE(says(refused(R"("activation_function": 3)"), "activation_function is 3"));
}

}  // namespace
}  // namespace vitrine
