// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <vector>

#include "analysis/saliency/runs.h"

namespace vitrine::internal {

/// A saliency in the making: the steps are known, their shares and scores are not.
struct SaliencyWork {
  const Model& model;
  const SaliencyOptions& options;
  SaliencyRuns& runs;
  Saliency& result;
  /// [S][D] final layernorm's output after each step's input
  std::vector<std::vector<float>> hidden = {};
  Tensor embeddings = {};  ///< [T, D] of result.ids

  int64_t width() const { return model.config().width; }
  /// A step's input as it stands.
  SaliencyInput input(size_t step) const;
  std::span<const float> row(int64_t position) const;
  /// Gives a step its scores, and as shares `amounts` (not negative) over their sum.
  void set(size_t step, std::span<const double> amounts, std::span<const double> scores);
  /// The same where a token's share is the size of its score.
  void set(size_t step, std::span<const double> scores);
};

/// What a Replacement puts in a place of an input of `tokens` tokens: [D] for all positions, or [T,
/// D]. Not for kDelete. `what` names it in errors. Throws Error (user) for a token or a shape that
/// does not fit.
Tensor replacement_rows(const Replacement& replacement, const Model& model, size_t tokens,
                        std::string_view what);
/// The row of replacement_rows() for a position.
std::span<const float> replacement_row(const Tensor& rows, int64_t position, int64_t width);

// One a method; each fills the result.
void grad_x_input(SaliencyWork& work);
void gradient_norm(SaliencyWork& work);
void smooth_grad(SaliencyWork& work);
void integrated_gradients(SaliencyWork& work);
void occlusion(SaliencyWork& work);
void span_occlusion(SaliencyWork& work);

}  // namespace vitrine::internal
