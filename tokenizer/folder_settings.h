// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/added_tokens.h"

namespace vitrine::internal {

/// What the files beside a tokenizer say, as transformers follows it: tokenizer_config.json,
/// special_tokens_map.json, added_tokens.json, and tokenizer_class of config.json.
struct FolderSettings {
  std::string tokenizer_class;  ///< without "Fast"; empty: not said
  std::optional<bool> add_prefix_space;
  std::optional<bool> add_begin, add_end;  ///< add_bos_token, add_eos_token
  std::string begin, end;                  ///< bos_token, eos_token; empty: not said
  std::vector<AddedToken> added;           ///< in their order; ids are as the files say, or kNoId
  bool lower_case = true, space_ideographs = true;  ///< of BERT's
  std::optional<bool> strip_accents;                ///< of BERT's
};

/// Files that are absent say nothing. Throws Error (user) for one that is damaged.
FolderSettings read_folder_settings(const std::filesystem::path& folder);

/// Puts the settings into the contents of a tokenizer.json, which errors call `file`.
void apply_settings(const FolderSettings& settings, const std::string& file, Json& root);

}  // namespace vitrine::internal
