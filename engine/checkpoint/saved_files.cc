// SPDX-License-Identifier: MIT
#include "engine/checkpoint/saved_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/system_error.h"
#include "engine/parameters.h"
#include "vitrine/checkpoint/model_cache.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 14> kTokenizerFiles = {"tokenizer.json",
                                                              "tokenizer_config.json",
                                                              "special_tokens_map.json",
                                                              "added_tokens.json",
                                                              "vocab.json",
                                                              "merges.txt",
                                                              "vocab.txt",
                                                              "tokenizer.model",
                                                              "spiece.model",
                                                              "sentencepiece.model",
                                                              "sentencepiece.bpe.model",
                                                              "spm.model",
                                                              "gpt2_tokenizer.bin",
                                                              "chat_template.jinja"};

const char* torch_name(DType dtype) {
  return dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16";
}

}  // namespace
}  // namespace vitrine::internal

namespace vitrine {

std::span<const std::string_view> tokenizer_file_names() { return internal::kTokenizerFiles; }

}  // namespace vitrine

namespace vitrine::internal {

// `torch_dtype` is what every version of transformers reads; later ones call it `dtype`. `n_ctx` is
// in OpenAI's own files, and converters to other formats want it.
JsonValue saved_config(const Config& config, DType dtype, JsonValue begin, JsonValue end) {
  const Config& c = config;
  JsonValue json = {{"architectures", {"GPT2LMHeadModel"}},
                    {"model_type", "gpt2"},
                    {"n_layer", c.layers},
                    {"n_head", c.heads},
                    {"n_embd", c.width},
                    {"n_positions", c.context},
                    {"n_ctx", c.context},
                    {"vocab_size", c.vocab},
                    {"activation_function", c.activation},
                    {"scale_attn_weights", c.scale_attention},
                    {"scale_attn_by_inverse_layer_idx", c.scale_attention_by_inverse_layer},
                    {"reorder_and_upcast_attn", false},
                    {"tie_word_embeddings", c.tied_unembedding},
                    {"initializer_range", 0.02},
                    {"attn_pdrop", 0.1},
                    {"embd_pdrop", 0.1},
                    {"resid_pdrop", 0.1},
                    {"use_cache", true},
                    {"torch_dtype", torch_name(dtype)}};
  json["bos_token_id"] = std::move(begin);
  json["eos_token_id"] = std::move(end);
  json["n_inner"] = c.inner == 4 * c.width ? JsonValue(nullptr) : JsonValue(c.inner);
  json["layer_norm_epsilon"] = std::strtod(fmt::format("{}", c.layer_norm_epsilon).c_str(),
                                           nullptr);  // 1e-05 and not 9.99999974e-06
  return json;
}

std::vector<fs::path> tokenizer_files(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const std::string_view name : kTokenizerFiles) {
    if (fs::is_regular_file(folder / name, ignored)) found.push_back(folder / name);
  }
  return found;
}

bool is_tokenizer_file(const fs::path& name) {
  return std::find(kTokenizerFiles.begin(), kTokenizerFiles.end(), name) != kTokenizerFiles.end();
}

void copy_file_as(const fs::path& file, const fs::path& copy) {
  std::error_code error;
  if (!fs::exists(file, error)) return;
  fs::copy_file(file, copy, error);
  if (error) system_failure(error.value(), file.string(), "cannot be copied");
}

void copy_files(const std::vector<fs::path>& files, const fs::path& folder) {
  for (const fs::path& file : files) copy_file_as(file, folder / file.filename());
}

std::string saved_name(const std::string& parameter) {
  return parameter.starts_with("lm_head.") ? parameter : "transformer." + parameter;
}

}  // namespace vitrine::internal
