// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// What adapter_config.json says of how a LoRA adapter is merged.
struct AdapterConfig {
  std::string file;  ///< as errors name it
  std::string base;  ///< base_model_name_or_path; may be empty
  double alpha = 8;
  bool rank_stabilised = false;              ///< use_rslora: alpha / sqrt(r)
  bool ties = false;                         ///< ensure_weight_tying
  std::map<std::string, double> alphas;      ///< alpha_pattern
  std::vector<std::string> modules_to_save;  ///< names of modules that the adapter holds whole

  /// The factor of B A for a module ("transformer.h.0.attn.c_attn") and a rank.
  double scale(std::string_view module, int64_t rank) const;
  /// Whether a module has a name of modules_to_save.
  bool saves(std::string_view module) const;
};

/// Throws Error (user) for another kind of adapter than LoRA, and for fields of PEFT that make it
/// compute something else.
AdapterConfig read_adapter_config(const std::filesystem::path& path);

}  // namespace vitrine::internal
