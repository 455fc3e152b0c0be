// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "analysis/common/model_output.h"
#include "vitrine/analysis/score.h"
#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// What one window of a text scores.
struct ScoredWindow {
  const ModelOutput& output;
  std::span<const int32_t> inputs;  ///< of the window's pass
  TensorView rows;  ///< [n, ...] of the output's site: each row's logits are for its target
  std::span<const int32_t> targets;  ///< [n]
  int64_t position = 0;  ///< of the first target in the text; the prepended token is at -1
  int64_t context =
      0;  ///< tokens that the model saw before the first target; one more for each after it
};

/// Slides the window of `options` over a text, as ScoreOptions says, and shows what each window
/// scores. Returns a Score without tokens. Throws Error (user) as score() does.
Score slide_window(const Model& model, std::span<const int32_t> ids, const ScoreOptions& options,
                   const std::function<void(const ScoredWindow&)>& see);

/// The scores of a window's targets, in order.
void append_scores(const Model& model, const ScoredWindow& window, const Hooks& edits,
                   std::vector<TokenScore>& tokens);

}  // namespace vitrine::internal
