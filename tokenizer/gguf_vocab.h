// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "base/json.h"
#include "tokenizer/folder_settings.h"

namespace vitrine::internal {

/// The tokenizer inside a GGUF file, as the pair of files that it was made from.
struct GgufVocab {
  Json vocab;          ///< token names and ids
  Json added;          ///< "added_tokens" of a tokenizer.json
  std::string merges;  ///< as merges.txt
  FolderSettings settings;
};

/// Reads byte-level BPE (tokenizer.ggml.model gpt2) with GPT-2's pre-tokenisation. Throws Error
/// (user) for another kind, by name, and for a damaged file, which it calls `file`.
GgufVocab read_gguf_vocab(std::span<const std::byte> contents, const std::string& file);

/// Whether a GGUF file holds tokens. Throws Error (user) for a damaged file.
bool gguf_has_tokenizer(const std::filesystem::path& path);

}  // namespace vitrine::internal
