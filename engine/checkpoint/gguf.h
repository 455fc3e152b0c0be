// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "engine/checkpoint/files.h"
#include "vitrine/config.h"

// GGUF files of architecture gpt2, as llama.cpp's converter writes them.

namespace vitrine::internal {

inline constexpr std::string_view kGgufMagic = "GGUF";

struct GgufCheckpoint {
  Config config;
  CheckpointFiles files;  ///< under GPT-2's names, in its layout
  std::vector<int64_t> end_ids;
};

/// Weights of f32, f16, bf16 and q8_0, the last as ggml dequantises them; tensors of other types
/// are in CheckpointFiles::other_types. Throws Error (user) for another architecture and for a
/// damaged file.
GgufCheckpoint read_gguf_file(const std::filesystem::path& path);

}  // namespace vitrine::internal
