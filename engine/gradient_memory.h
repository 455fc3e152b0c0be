// SPDX-License-Identifier: MIT
#pragma once

#include "engine/activations.h"

namespace vitrine::internal {

/// The three sets of hooks of a backward pass.
struct BackwardPlans {
  const Plan& forward;    ///< of the pass whose gradient it is
  const Plan& gradients;  ///< what to keep, and the edits' adjoints
  const Plan& seeds;      ///< what targets at sites add to the gradient there
};

/// The working memory of a backward pass. What only a watched site needs is there only if it is
/// watched.
struct GradientMemory {
  Mat resid;       ///< [rows, D] of the residual stream, float32
  Mat narrow;      ///< [rows, D] the same in the type of products; where that is float32, empty
  Mat normalized;  ///< [rows, D] of a layernorm's output; this and the next three of the backend's
                   ///< activation_dtype
  Mat qkv;         ///< [rows, 3D]
  Mat z;           ///< [rows, D]
  Mat inner;       ///< [rows, M] of MLP neurons before the activation function

  // Of the rows that targets read, some at once:
  Mat target_normalized;  ///< [n, D] after the final layernorm
  Mat target_logits;      ///< [n, V] float32
  Mat target_seeds;       ///< [n, V] in the type of products
  Mat target_gradient;    ///< [n, D] float32
  Mat seeds;  ///< [rows, V] float32: of all rows, only if logits are watched; then n is the number
              ///< of rows

  // For watched sites, float32:
  Mat branch;                       ///< [rows, D] of what was added to the residual stream
  Mat scale;                        ///< [rows, 1]
  Mat inner_post;                   ///< [rows, M]
  Mat results;                      ///< [rows, H D]
  float* scores = nullptr;          ///< a map: scores, then their gradient
  float* pattern = nullptr;         ///< a map: the pattern
  float* edited_pattern = nullptr;  ///< a map: and after its edits
  float* dpattern = nullptr;        ///< a map

  /// `target_rows`: rows of logits that targets read.
  GradientMemory(Arena& arena, const Config& config, const BackwardPlans& plans,
                 const Backend& backend, DType dtype, const Activations::Sizes& sizes,
                 int64_t target_rows);

 private:
  void take_targets(Arena& arena, const Config& config, DType dtype, int64_t rows);
};

}  // namespace vitrine::internal
