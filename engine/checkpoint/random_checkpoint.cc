// SPDX-License-Identifier: MIT
#include "vitrine/checkpoint/random_checkpoint.h"

#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/json_value.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "engine/checkpoint/config.h"
#include "engine/random_weights.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// What save_pretrained of a tokenizer may have written, and SentencePiece's own file.
constexpr std::array<const char*, 9> kTokenizerFiles = {"tokenizer.json",
                                                        "tokenizer_config.json",
                                                        "special_tokens_map.json",
                                                        "added_tokens.json",
                                                        "vocab.json",
                                                        "merges.txt",
                                                        "tokenizer.model",
                                                        "spiece.model",
                                                        "chat_template.jinja"};

struct TokenizerFiles {
  std::vector<fs::path> files;
  std::optional<int32_t> end_of_text;
};

TokenizerFiles find_tokenizer(const fs::path& where, int64_t vocab) {
  if (where.empty()) return {};
  const auto tokenizer = Tokenizer::load(where);
  if (tokenizer->vocab_size() > vocab) {
    user_error(
        "the tokenizer of '{}' has {} tokens, the model a vocabulary of {}: expected a vocabulary "
        "of at least that size",
        where.string(), tokenizer->vocab_size(), vocab);
  }
  TokenizerFiles found{{}, tokenizer->end_of_text()};
  std::error_code ignored;
  const fs::path folder = fs::is_directory(where, ignored) ? where : where.parent_path();
  for (const char* name : kTokenizerFiles) {
    if (fs::is_regular_file(folder / name, ignored)) found.files.push_back(folder / name);
  }
  return found;
}

/// As transformers' GPT2Config writes itself. `torch_dtype` is what every version of transformers
/// reads; later ones call it `dtype`. `n_ctx` is in OpenAI's own files, and converters to other
/// formats want it.
JsonValue config_of(const RandomCheckpoint& what, const std::optional<int32_t>& end_of_text) {
  const Config& c = what.config;
  const char* dtype = what.dtype == DType::kF32   ? "float32"
                      : what.dtype == DType::kF16 ? "float16"
                                                  : "bfloat16";
  const int64_t end =
      end_of_text ? *end_of_text : c.vocab - 1;  // where GPT-2's own vocabulary has it
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
                    {"bos_token_id", end},
                    {"eos_token_id", end},
                    {"attn_pdrop", 0.1},
                    {"embd_pdrop", 0.1},
                    {"resid_pdrop", 0.1},
                    {"use_cache", true},
                    {"torch_dtype", dtype}};
  json["n_inner"] = c.inner == 4 * c.width ? JsonValue(nullptr) : JsonValue(c.inner);
  json["layer_norm_epsilon"] = std::strtod(fmt::format("{}", c.layer_norm_epsilon).c_str(),
                                           nullptr);  // 1e-05 and not 9.99999974e-06
  return json;
}

/// False if it was ended.
bool write_weights(const fs::path& path, const RandomWeights& weights, const RandomCheckpoint& what,
                   uint64_t total, const RandomCheckpointOptions& options) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& entry : weights.entries()) {
    declarations.push_back({entry.name == kUnembedding ? entry.name : "transformer." + entry.name,
                            what.dtype, entry.shape});
  }
  SafetensorsWriter writer(path, std::move(declarations), {{"format", "pt"}});
  uint64_t done = 0;
  for (const auto& entry : weights.entries()) {
    if (options.keep_going && !options.keep_going()) return false;
    const Tensor tensor = weights.make(entry.name, what.dtype, [&](int64_t elements) {
      if (!options.progress) return;
      const uint64_t bytes = static_cast<uint64_t>(elements) * dtype_size(what.dtype);
      options.progress->update(done + bytes, total, "Writing");
    });
    writer.append(tensor.view());
    done += tensor.view().bytes();
  }
  writer.finish();
  return true;
}

void copy_files(const std::vector<fs::path>& files, const fs::path& folder) {
  for (const fs::path& file : files) {
    std::error_code error;
    fs::copy_file(file, folder / file.filename(), error);
    if (error) system_failure(error.value(), file.string(), "cannot be copied");
  }
}

}  // namespace

RandomInit random_init_from_name(std::string_view name) {
  if (name == "gpt2") return RandomInit::kGpt2;
  if (name == "wide") return RandomInit::kWide;
  user_error("unknown initialisation {}: expected gpt2 or wide", quote(name));
}

uint64_t write_random_checkpoint(const fs::path& folder, const RandomCheckpoint& what,
                                 const RandomCheckpointOptions& options) {
  check_config(what.config, "the configuration");
  activation_from_name(what.config.activation);
  if (!is_floating(what.dtype))
    user_error("weights cannot be stored as {}: expected f32, f16 or bf16", dtype_name(what.dtype));
  const TokenizerFiles tokenizer = find_tokenizer(what.tokenizer, what.config.vocab);
  const RandomWeights weights(what.config, what.seed, what.init);
  uint64_t bytes = 0;
  for (const auto& entry : weights.entries())
    bytes += static_cast<uint64_t>(entry.shape.elements()) * dtype_size(what.dtype);
  AtomicFolder made(folder, bytes);
  if (!write_weights(made.path() / "model.safetensors", weights, what, bytes, options)) return 0;
  write_file(made.path() / "config.json", config_of(what, tokenizer.end_of_text).dump(2) + "\n");
  copy_files(tokenizer.files, made.path());
  made.commit();
  return bytes;
}

}  // namespace vitrine
