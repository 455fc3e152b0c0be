// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/generate.h"

namespace vitrine {

/// When a beam search ends before max_new_tokens, as Hugging Face's early_stopping.
enum class BeamEnd : uint8_t {
  kHeuristic,  ///< false: no running beam has a better score than the worst result, at its length
  kFull,       ///< true: as soon as there are as many results as beams
  kNever,      ///< "never": no running beam can get a better score than the worst result
};

struct BeamOptions {
  int beams = 4;
  int results = 1;  ///< number of continuations to return, 1..beams
  /// Scores are divided by the number of new tokens to this power: above 0 favours long ones.
  float length_penalty = 1.0f;
  BeamEnd end = BeamEnd::kHeuristic;
};

/// A continuation.
struct Beam {
  std::vector<int32_t> ids;  ///< new tokens, with the one that stopped it
  double score = 0;          ///< log-probability of them all, in nats, by the length penalty
  StopReason reason = StopReason::kLength;
};

/// The best continuations of one prompt, best first, as Hugging Face's beam search without sampling
/// finds them. Of `options` it takes the numbers of tokens, penalties (which it applies to
/// log-probabilities), stop ids, stop strings and bad words. Edits apply in every pass. Throws
/// Error (user) as generate() does, for options that it does not take, for captures, edits of
/// single sequences, and a prompt that leaves no room for max_new_tokens.
std::vector<Beam> beam_search(const Model& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, const BeamOptions& beams,
                              const Hooks& hooks = {});

}  // namespace vitrine
