// SPDX-License-Identifier: MIT
#include "engine/checkpoint/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "engine/checkpoint/gpt_neo.h"

namespace vitrine::internal {
namespace {

// Far above any GPT-2, and low enough that layers x heads x context x context x 4 bytes, the
// largest product that we form, fits in 63 bits.
constexpr int64_t kMaxLayers = 1000;
constexpr int64_t kMaxHeads = 1000;
constexpr int64_t kMaxWidth = int64_t{1} << 17;
constexpr int64_t kMaxInner = int64_t{1} << 20;
constexpr int64_t kMaxVocab = int64_t{1} << 30;
constexpr int64_t kMaxContext = int64_t{1} << 20;

constexpr std::array<std::pair<std::string_view, Activation>, 12> kActivations = {
    {{"gelu_new", Activation::kGeluTanh},
     {"gelu_pytorch_tanh", Activation::kGeluTanh},
     {"gelu_fast", Activation::kGeluTanh},
     {"gelu_accurate", Activation::kGeluTanh},
     {"gelu_python_tanh", Activation::kGeluTanh},
     {"gelu", Activation::kGeluErf},
     {"gelu_python", Activation::kGeluErf},
     {"quick_gelu", Activation::kGeluQuick},
     {"relu", Activation::kRelu},
     {"silu", Activation::kSilu},
     {"swish", Activation::kSilu},
     {"tanh", Activation::kTanh}}};

// Fields that are read below, and those of transformers' GPT2Config and PretrainedConfig that
// change nothing here: training, generation, other heads' outputs, provenance.
constexpr auto kKnownFields = std::to_array<std::string_view>({
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "activation_function",
    "add_cross_attention",
    "architectures",
    "attention_head_type",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cls_token_id",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_size",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "layer_norm_epsilon",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "max_new_tokens",
    "max_position_embeddings",
    "min_length",
    "model_type",
    "n_ctx",
    "n_embd",
    "n_head",
    "n_inner",
    "n_layer",
    "n_positions",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_attention_heads",
    "num_beam_groups",
    "num_beams",
    "num_hidden_layers",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pad_token_id",
    "predict_special_tokens",
    "prefix",
    "problem_type",
    "pruned_heads",
    "quantization_config",
    "remove_invalid_values",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights",
    "sep_token_id",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
    "vocab_size",
});
static_assert(std::is_sorted(kKnownFields.begin(), kKnownFields.end()));

std::string activation_names() {
  std::string names;
  for (const auto& [name, activation] : kActivations)
    names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

bool known_activation(std::string_view name) {
  for (const auto& entry : kActivations) {
    if (entry.first == name) return true;
  }
  return false;
}

// GPT2Config knows some sizes by a second name as well.
int64_t size_field(const JsonFields& fields, const char* name, const char* alias, int64_t max,
                   int64_t otherwise) {
  auto value = fields.integer(name, 1, max);
  std::optional<int64_t> other;
  if (alias) other = fields.integer(alias, 1, max);
  if (value && other && *value != *other)
    fields.refuse(alias, fmt::format("contradicts {} = {}", name, *value));
  if (!value) value = other;
  return value.value_or(otherwise);
}

// Fields of models that call themselves GPT-2 and compute something else. `plain` values are the
// ones that do not.
void refuse_other_arithmetic(const JsonFields& fields) {
  if (fields.has("model_type") && !is_gpt2_type(*fields.text("model_type")))
    fields.refuse("model_type", "expected 'gpt2'");
  for (const char* name : {"add_cross_attention", "is_encoder_decoder"}) {
    if (fields.boolean(name).value_or(false))
      fields.refuse(name, "expected false, because GPT-2 has no encoder");
  }
  if (fields.has("quantization_config")) {
    fields.refuse("quantization_config",
                  "quantized checkpoints are not supported; use float32, float16 or bfloat16");
  }
  if (const Json* heads = fields.find("pruned_heads"); heads && !heads->empty()) {
    fields.refuse("pruned_heads", "pruned checkpoints are not supported");
  }
  if (fields.has("attention_head_type") && fields.text("attention_head_type") != "multihead") {
    fields.refuse("attention_head_type", "expected 'multihead'");
  }
  if (fields.has("auto_map")) {
    fields.refuse(
        "auto_map",
        "models with custom code are not supported; remove the field if the model is plain GPT-2");
  }
}

float epsilon_field(const JsonFields& fields) {
  const double value = fields.number("layer_norm_epsilon").value_or(1e-5);
  const auto epsilon = static_cast<float>(value);
  if (!(epsilon > 0) || value > 1)
    fields.refuse("layer_norm_epsilon", "expected a number > 0 and <= 1");
  return epsilon;
}

std::vector<int64_t> end_ids_field(const JsonFields& fields) {
  const Json* given = fields.find("eos_token_id");
  if (given == nullptr) return {};
  const Json list = given->is_array() ? *given : Json::array({*given});
  std::vector<int64_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0)
      fields.refuse("eos_token_id", "expected a token id, or a list of ids");
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

ParsedConfig parse_fields(const Json& json, const std::string& file) {
  const JsonFields fields(json, file);
  refuse_other_arithmetic(fields);
  ParsedConfig parsed;
  Config& config = parsed.config;
  config.layers =
      static_cast<int>(size_field(fields, "n_layer", "num_hidden_layers", kMaxLayers, 12));
  config.heads =
      static_cast<int>(size_field(fields, "n_head", "num_attention_heads", kMaxHeads, 12));
  config.width = size_field(fields, "n_embd", "hidden_size", kMaxWidth, 768);
  config.inner = size_field(fields, "n_inner", nullptr, kMaxInner, 4 * config.width);
  config.vocab = size_field(fields, "vocab_size", nullptr, kMaxVocab, 50257);
  // transformers sizes the position table by n_positions; n_ctx is what older files also call it.
  const bool sized = fields.has("n_positions") || fields.has("max_position_embeddings");
  config.context = size_field(fields, "n_positions", "max_position_embeddings", kMaxContext,
                              sized ? 0 : fields.integer("n_ctx", 1, kMaxContext).value_or(1024));
  config.layer_norm_epsilon = epsilon_field(fields);
  config.activation = fields.text("activation_function").value_or("gelu_new");
  if (!known_activation(config.activation)) {
    fields.refuse("activation_function", fmt::format("expected one of {}", activation_names()));
  }
  config.scale_attention = fields.boolean("scale_attn_weights").value_or(true);
  config.scale_attention_by_inverse_layer =
      fields.boolean("scale_attn_by_inverse_layer_idx").value_or(false);
  config.tied_unembedding = fields.boolean("tie_word_embeddings").value_or(true);
  if (fields.boolean("reorder_and_upcast_attn").value_or(false)) {
    parsed.notes.push_back(file +
                           ": reorder_and_upcast_attn is true: attention accumulates in float32 "
                           "here in any case, and its formula is the "
                           "same");
  }
  if (const auto type = fields.text("model_type"); type && type != "gpt2")
    parsed.notes.push_back(
        fmt::format("{}: model_type is {}: taken for gpt2's", file, quote(*type)));
  for (const auto& [name, value] : json.items()) {
    if (!std::binary_search(kKnownFields.begin(), kKnownFields.end(), name))
      parsed.unknown.push_back(name);
  }
  parsed.end_ids = end_ids_field(fields);
  check_config(config, file);
  return parsed;
}

ParsedConfig parse_any(const Json& json, const std::string& file) {
  const bool neo = json.is_object() && json.value("model_type", Json()) == Json("gpt_neo");
  if (!neo) return parse_fields(json, file);
  std::vector<std::string> notes;
  std::vector<int64_t> windows;
  ParsedConfig parsed = parse_fields(gpt2_config_of_neo(json, file, windows, notes), file);
  parsed.config.windows = std::move(windows);
  parsed.gpt_neo = true;
  parsed.notes.insert(parsed.notes.begin(), notes.begin(), notes.end());
  return parsed;
}

}  // namespace

ParsedConfig parse_config(std::string_view text, const std::string& file) {
  return parse_any(parse_python_json(text, file), file);
}

std::vector<int64_t> read_end_ids(const std::filesystem::path& path) {
  const Json json = read_python_json(path);
  const std::string file = path.string();
  return end_ids_field(JsonFields(json, file));
}

ParsedConfig read_config(const std::filesystem::path& path) {
  return parse_any(read_python_json(path), path.string());
}

bool is_gpt2_type(std::string_view model_type) {
  std::string plain;
  for (const char c : model_type) {
    if (c != '-' && c != '_') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return plain.find("gpt2") != std::string::npos;
}

void check_config(const Config& config, const std::string& file) {
  const auto check = [&file](const char* name, int64_t value, int64_t max) {
    if (value < 1 || value > max)
      user_error("{}: {} is {}: expected 1..{}", file, name, value, max);
  };
  check("n_layer", config.layers, kMaxLayers);
  check("n_head", config.heads, kMaxHeads);
  check("n_embd", config.width, kMaxWidth);
  check("n_inner", config.inner, kMaxInner);
  check("vocab_size", config.vocab, kMaxVocab);
  check("n_positions", config.context, kMaxContext);
  if (config.width % config.heads != 0) {
    user_error("{}: n_embd is {}: expected a multiple of n_head = {}", file, config.width,
               config.heads);
  }
}

Activation activation_from_name(std::string_view name) {
  for (const auto& [known, activation] : kActivations) {
    if (known == name) return activation;
  }
  user_error("unknown activation_function {}: expected one of {}", quote(name), activation_names());
}

}  // namespace vitrine::internal
