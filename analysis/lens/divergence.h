// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Rows [first, first + count) of a matrix.
TensorView rows_between(TensorView matrix, int64_t first, int64_t count);

/// Distributions over the vocabulary that others are compared with, in double precision: [rows, V]
/// for as long as this lives, so of a few rows only (kLogitRowsAtOnce).
class ReferenceRows {
 public:
  /// softmax of the rows' logits; see visit_logits().
  ReferenceRows(const Model& model, TensorView rows, bool final_layernorm);

  struct Compared {
    double kl = 0;   ///< KL(reference || this row's distribution), nats
    double lse = 0;  ///< log sum exp of this row's logits
    std::span<const float> logits;
  };
  /// As many rows as the reference has.
  void compare(TensorView rows, bool final_layernorm,
               const std::function<void(int64_t row, const Compared&)>& see) const;

 private:
  const Model& model_;
  size_t vocab_;
  std::vector<double> probabilities_;  ///< [rows, V]
  std::vector<double> negative_entropies_;
};

}  // namespace vitrine::internal
