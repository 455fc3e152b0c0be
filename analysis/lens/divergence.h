// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "analysis/common/model_output.h"
#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Distributions over the vocabulary that others are compared with, in double precision: [rows, V]
/// for as long as this lives, so of a few rows only (kLogitRowsAtOnce).
class ReferenceRows {
 public:
  /// softmax of the logits of rows of the model's output.
  ReferenceRows(const Model& model, const ModelOutput& output, TensorView rows);

  struct Compared {
    double kl = 0;   ///< KL(reference || this row's distribution), nats
    double lse = 0;  ///< log sum exp of this row's logits
    std::span<const float> logits;
  };
  /// As many rows as the reference has; see visit_logits().
  void compare(TensorView rows, bool final_layernorm,
               const std::function<void(int64_t row, const Compared&)>& see) const;
  /// The same for rows of the model's output.
  void compare_output(const ModelOutput& output, TensorView rows,
                      const std::function<void(int64_t row, const Compared&)>& see) const;

 private:
  Compared compared(int64_t row, std::span<const float> logits) const;

  const Model& model_;
  size_t vocab_;
  std::vector<double> probabilities_;  ///< [rows, V]
  std::vector<double> negative_entropies_;
};

}  // namespace vitrine::internal
