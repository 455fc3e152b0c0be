// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine {

/// One given continuation of a prompt.
struct ChoiceScore {
  std::vector<double> log_probabilities;  ///< of each of its tokens, in nats
  std::vector<int32_t> ranks;  ///< of each: 1 + the number of tokens with a strictly greater logit
  double log_probability() const;  ///< of the whole continuation: their sum
};

/// Probabilities of given continuations of one prompt, as evaluations of multiple choice compare
/// them. The prompt is computed once; each continuation is computed after a copy of its keys and
/// values, with the bits of one pass over both. Edits apply to the prompt and to the continuations;
/// captures are ignored. Throws Error (user) as Model::forward does, without a choice, and for an
/// empty one.
std::vector<ChoiceScore> score_choices(const Model& model, std::span<const int32_t> prompt,
                                       const Batch& choices, const Hooks& edits = {});

}  // namespace vitrine
