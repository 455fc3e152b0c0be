// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/progress.h"

namespace vitrine {

struct ConvertOptions {
  /// f32, f16 or bf16; nullopt: each tensor keeps its own (float64 becomes float32).
  std::optional<DType> dtype = std::nullopt;
  /// LoRA adapter of the source, as ModelOptions::adapter; empty: none. Merged weights have the
  /// type that the source's have.
  std::filesystem::path adapter = {};
  /// Maximum size of a file's tensors in bytes; 0: one file. A larger tensor has a file of its own.
  uint64_t shard_bytes = 0;
  /// Replaces what is there. A folder is replaced only if it holds nothing but files of this kind.
  bool force = false;
  /// Optional progress callback (counts bytes written); null disables reporting.
  Progress* progress = nullptr;
  /// Called before each tensor; returning false stops, and the target stays as it was.
  std::function<bool()> keep_going = {};
};

struct ConvertedCheckpoint {
  std::vector<std::string> files;  ///< names of what was written; empty if it was stopped
  uint64_t bytes = 0;              ///< of the weights
  DType dtype = DType::kF32;       ///< of most of the weights' bytes
  std::vector<std::string> notes;  ///< one line each: what the source holds and the result does not
};

/// Writes a checkpoint that Model::load reads as safetensors with the names and the [in, out]
/// layout of transformers' GPT2LMHeadModel. `target` is a folder, with config.json,
/// generation_config.json and the tokenizer's files of the source's folder, or a file that ends in
/// .safetensors, with the weights alone. Where no dtype changes, the elements have the same bits;
/// others are rounded to nearest, ties to even. The target appears whole or not at all. One tensor
/// is in memory at a time.
///
/// `source`: a path or a name, as for Model::load. Throws Error (user) for a source that does not
/// load, a target that is there already (see `force`) or cannot be written, and an element that
/// the dtype cannot hold, by tensor and index.
ConvertedCheckpoint convert_checkpoint(const std::string& source,
                                       const std::filesystem::path& target,
                                       const ConvertOptions& options = {});

}  // namespace vitrine
