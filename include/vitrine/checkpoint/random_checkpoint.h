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

/// How random weights are drawn.
enum class RandomInit : uint8_t {
  /// As GPT-2 begins its training (Radford et al. 2019, section 2.3; transformers'
  /// GPT2PreTrainedModel): normal with standard deviation
  /// 0.02, of both projections into the residual stream 0.02 / sqrt(2 L). What is constant there
  /// (biases 0, layernorm weights 1)
  /// has normal noise of 0.002 on top, so that no mistake with it can hide.
  kGpt2,
  /// As Model::random and `vitrine bench` have them: uniform, with standard deviation 0.05 (biases
  /// 0.036, layernorm weights
  /// 1 +- 0.072), so that attention is far from uniform and logits spread as a trained model's do.
  kWide,
};

/// "gpt2" or "wide". Throws Error (user) naming these for another word.
RandomInit random_init_from_name(std::string_view name);

struct RandomCheckpoint {
  Config config;
  uint64_t seed = 0;
  RandomInit init = RandomInit::kGpt2;
  DType dtype = DType::kF32;  ///< f32, f16 or bf16: each weight is rounded to it once
  /// A folder (or a file in it) whose tokenizer files are copied beside the weights; empty: none.
  std::filesystem::path tokenizer = {};
};

struct RandomCheckpointOptions {
  Progress* progress = nullptr;  ///< told the bytes written; not kept
  std::function<bool()> keep_going =
      {};  ///< asked before each tensor; false ends the work and leaves nothing behind
};

/// Writes config.json and model.safetensors as transformers' GPT2LMHeadModel.save_pretrained does:
/// its names, its [in, out] layout, one file, no lm_head where the unembedding is tied. One tensor
/// is in memory at a time. Every element is a function of (seed, the tensor's name, the element)
/// alone. The folder appears whole or not at all; one that is there and not empty is refused.
///
/// Returns the bytes of the weights, or 0 if it was ended. Throws Error (user) for sizes that no
/// GPT-2 has, a dtype that holds no weights, a tokenizer that is missing or does not fit the
/// vocabulary, and a folder or disk that cannot take it.
uint64_t write_random_checkpoint(const std::filesystem::path& folder, const RandomCheckpoint& what,
                                 const RandomCheckpointOptions& options = {});

}  // namespace vitrine
