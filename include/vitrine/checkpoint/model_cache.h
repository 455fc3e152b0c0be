// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Folder of Hugging Face's programs: HF_HOME, or ~/.cache/huggingface, by the rules of
/// huggingface_hub. The path may not exist.
std::filesystem::path hub_home();

/// Path of the Hugging Face cache: HF_HUB_CACHE, HF_HOME/hub, or ~/.cache/huggingface/hub, by the
/// rules of huggingface_hub. The path may not exist.
std::filesystem::path hub_cache();

struct CachedModel {
  std::string name;            ///< name for Model::load: "openai-community/gpt2"
  std::filesystem::path path;  ///< directory of its snapshot
  uint64_t bytes = 0;          ///< size of the snapshot's files
};

/// GPT-2 models of the cache (snapshots with weights whose config.json has the GPT-2 model type),
/// sorted by name. Unreadable entries are skipped.
std::vector<CachedModel> cached_models();

/// Files of tokenizers in a model's directory or repository: what save_pretrained may write, and
/// SentencePiece's and llm.c's.
std::span<const std::string_view> tokenizer_file_names();

}  // namespace vitrine
