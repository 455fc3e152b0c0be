// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vitrine {

/// The Hugging Face cache: HF_HUB_CACHE, HF_HOME/hub, or ~/.cache/huggingface/hub, by the rules of
/// huggingface_hub. It need not exist.
std::filesystem::path hub_cache();

struct CachedModel {
  std::string name;            ///< as Model::load takes it: "openai-community/gpt2"
  std::filesystem::path path;  ///< its snapshot
  uint64_t bytes = 0;          ///< of the snapshot's files
};

/// The GPT-2 models of the cache (those whose config.json says so, with weights beside it), by
/// name. What cannot be read is left out.
std::vector<CachedModel> cached_models();

}  // namespace vitrine
