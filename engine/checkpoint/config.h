// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend/activation.h"
#include "vitrine/config.h"

namespace vitrine::internal {

/// A model's configuration as read, with what a reader may want to know about how a field was
/// taken.
struct ParsedConfig {
  Config config;
  bool gpt_neo = false;  ///< the parameters have GPT-Neo's names: see rename_neo()
  /// Fields that neither Vitrine nor transformers' GPT-2 knows; sorted. They may say that the model
  /// computes something else.
  std::vector<std::string> unknown;
  std::vector<int64_t> end_ids;    ///< eos_token_id, an id or a list; empty if absent
  std::vector<std::string> notes;  ///< one line each; for example that reorder_and_upcast_attn
                                   ///< changes nothing in float32
};

/// Reads a Hugging Face config.json of a GPT-2 model. Fields that are absent have the defaults of
/// transformers' GPT2Config. Every field that changes GPT-2's arithmetic is honoured or refused by
/// name. Throws Error (user): file, field, value, what is accepted.
ParsedConfig read_config(const std::filesystem::path& path);
/// eos_token_id of a generation_config.json; nothing if it has none. Throws Error (user).
std::vector<int64_t> read_end_ids(const std::filesystem::path& path);

/// The same as read_config() from text; `file` is what errors call it.
ParsedConfig parse_config(std::string_view text, const std::string& file);

/// Whether a config.json's model_type is GPT-2's or a fork's name of it ("gpt2-custom",
/// "mistral-gpt2"); a fork that computes something else has other tensors or fields.
bool is_gpt2_type(std::string_view model_type);

/// Throws Error (user) if a size of the configuration is not positive, is beyond any GPT-2 (so that
/// no product of sizes can overflow), or if the heads do not divide the width. `file` is what the
/// error names as the source.
void check_config(const Config& config, const std::string& file);

/// The activation function of a Hugging Face name. Throws Error (user) listing the names that are
/// known.
Activation activation_from_name(std::string_view name);

}  // namespace vitrine::internal
