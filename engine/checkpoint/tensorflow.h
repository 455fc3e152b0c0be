// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "engine/checkpoint/files.h"

// GPT-2 as OpenAI released it, and as programs that train it in TensorFlow save it: hparams.json,
// NAME.index and NAME.data-00000-of-00001.

namespace vitrine::internal {

inline constexpr const char* kHparamsFile = "hparams.json";

struct TensorflowCheckpoint {
  Config config;
  std::string config_file;
  CheckpointFiles files;  ///< under GPT-2's names
};

/// Reads a checkpoint by its index. Throws Error (user) for a damaged file, for a tensor that is
/// cut into parts, and for missing hparams.json.
TensorflowCheckpoint read_tensorflow_checkpoint(const std::filesystem::path& index);

}  // namespace vitrine::internal
