// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "vitrine/config.h"
#include "vitrine/dtype.h"
#include "vitrine/progress.h"

namespace vitrine {

/// Distribution of random weights.
enum class RandomInit : uint8_t {
  /// Initialisation of GPT-2's training (Radford et al. 2019, section 2.3; transformers'
  /// GPT2PreTrainedModel): normal with standard deviation 0.02, and 0.02 / sqrt(2 L) for both
  /// projections into the residual stream. Biases (0) and layernorm weights (1) get normal noise of
  /// 0.002, so that tests detect errors in them.
  kGpt2,
  /// Distribution of Model::random and `vitrine bench`: uniform, with standard deviation 0.05
  /// (biases 0.036, layernorm weights 1 +- 0.072), so that attention is far from uniform and logits
  /// spread like those of a trained model.
  kWide,
};

/// Parses "gpt2" or "wide". Throws Error (user) that lists both names.
RandomInit random_init_from_name(std::string_view name);

struct RandomCheckpoint {
  Config config;
  uint64_t seed = 0;
  RandomInit init = RandomInit::kGpt2;
  DType dtype = DType::kF32;  ///< f32, f16 or bf16; each weight is rounded once
  /// Folder (or a file in it) whose tokenizer files are copied next to the weights; empty: none.
  std::filesystem::path tokenizer = {};
};

struct RandomCheckpointOptions {
  /// Optional progress callback (counts bytes written); null disables reporting.
  Progress* progress = nullptr;
  /// Called before each tensor; returning false stops, and no files are left.
  std::function<bool()> keep_going = {};
};

/// Writes config.json and model.safetensors in the format of transformers'
/// GPT2LMHeadModel.save_pretrained: its names, its [in, out] layout, one file, and no lm_head if
/// the unembedding is tied. One tensor is in memory at a time. Every element is a function of the
/// seed, the tensor's name and the element's index alone. The folder is created atomically; an
/// existing folder must be empty.
///
/// Returns the bytes of the weights, or 0 if it was stopped. Throws Error (user) for invalid sizes,
/// an invalid dtype, a tokenizer that is missing or does not match the vocabulary, and a folder
/// that cannot be written.
uint64_t write_random_checkpoint(const std::filesystem::path& folder, const RandomCheckpoint& what,
                                 const RandomCheckpointOptions& options = {});

}  // namespace vitrine
