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

/// Sampling of the next token, in Hugging Face's order: temperature, then top-k, then top-p.
struct SamplingOptions {
  float temperature = 0.0f;  ///< 0: greedy
  int top_k = 0;             ///< keep the k most likely tokens; 0: all
  float top_p = 1.0f;  ///< keep the smallest set of tokens whose probability reaches p; 1: all
  /// Random seed. The samples of a sequence depend only on its seed and the step, not on the batch.
  uint64_t seed = 0;
  /// One seed per sequence, instead of `seed`; empty: `seed` for all.
  std::vector<uint64_t> seeds = {};
};

struct GenerateOptions {
  int max_new_tokens = 32;
  SamplingOptions sampling = {};
  /// Token ids that end a sequence; the id is kept as its last token.
  std::vector<int32_t> stop_ids = {};
  /// Called for each new token when it is sampled; returning false ends the whole generation.
  std::function<bool(int sequence, int32_t id)> on_token = {};
};

enum class StopReason : uint8_t { kLength, kStopId, kContext, kCallback };

struct Generation {
  struct Sequence {
    std::vector<int32_t> ids;  ///< new tokens, without the prompt
    StopReason reason = StopReason::kLength;
  };
  std::vector<Sequence> sequences;
  /// Reason why the steps were not replayed from a captured GPU graph; empty if they were.
  std::string eager_because;
  /// Captures over all passes: the prompt's positions, then one position per step.
  std::shared_ptr<const Captures> captures;
};

/// Continues each prompt. Edits apply in every pass, to the prompt and to each new token. Passes
/// read the prompt, then each new token but the last one; negative positions count from the newest
/// token of each pass, so that -1 occurs in every pass and others in the prompt's only. Throws
/// Error (user) as Model::forward does, for a position that never occurs, for sampling options out
/// of range, and for a distribution with a NaN, from which no token can be drawn, naming the site
/// where it first appears.
Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options = {},
                    const Hooks& hooks = {});
/// The same with hooks that were compiled for this model.
Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options,
                    const HookPlan& plan);

}  // namespace vitrine
