// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine {

/// How the next token is chosen. Hugging Face's order: temperature, then top-k, then top-p.
struct SamplingOptions {
  float temperature = 0.0f;  ///< 0: greedy
  int top_k = 0;             ///< keep the k likeliest; 0: all
  float top_p = 1.0f;        ///< keep the fewest whose probability reaches p; 1: all
  /// A sequence's choices depend on its seed and its step alone, so it draws the same alone as in
  /// any batch.
  uint64_t seed = 0;
  /// One seed a sequence, in place of `seed`; empty: the same for all.
  std::vector<uint64_t> seeds = {};
};

struct GenerateOptions {
  int max_new_tokens = 32;
  SamplingOptions sampling = {};
  /// Ids that end a sequence; the id itself is kept as its last token.
  std::vector<int32_t> stop_ids = {};
  /// Called for each new token as it is chosen; false ends the whole generation.
  std::function<bool(int sequence, int32_t id)> on_token = {};
};

enum class StopReason : uint8_t { kLength, kStopId, kContext, kCallback };

struct Generation {
  struct Sequence {
    std::vector<int32_t> ids;  ///< the new tokens
    StopReason reason = StopReason::kLength;
  };
  std::vector<Sequence> sequences;
  /// Why each step's operations were issued anew: a GPU otherwise records one step and replays it.
  /// Empty if it did.
  std::string eager_because;
  /// What hooks captured over all passes: the prompt's positions, then one position a step.
  std::shared_ptr<const Captures> captures;
};

/// Continues each prompt. Edits act in every pass, on the prompt as on each new token.
/// Throws Error (user) as Model::forward does, and for sampling options outside their ranges.
Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options = {},
                    const Hooks& hooks = {});

}  // namespace vitrine
