// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <vector>

#include "base/json_value.h"
#include "vitrine/config.h"
#include "vitrine/dtype.h"

// What is written beside weights, as save_pretrained writes it.

namespace vitrine::internal {

/// config.json as transformers' GPT2Config writes itself. `begin` and `end`: bos_token_id and
/// eos_token_id.
JsonValue saved_config(const Config& config, DType dtype, JsonValue begin, JsonValue end);

/// The folder's files that save_pretrained of a tokenizer may have written, and SentencePiece's.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& folder);
bool is_tokenizer_file(const std::filesystem::path& name);

/// A file that is missing is left out. Throws Error.
void copy_file_as(const std::filesystem::path& file, const std::filesystem::path& copy);
void copy_files(const std::vector<std::filesystem::path>& files,
                const std::filesystem::path& folder);

/// The name of a parameter of Parameter's in a file of GPT2LMHeadModel.
std::string saved_name(const std::string& parameter);

}  // namespace vitrine::internal
