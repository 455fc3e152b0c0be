// SPDX-License-Identifier: MIT
#include "analysis/lens/divergence.h"

#include <algorithm>
#include <cmath>

#include "vitrine/logit_rows.h"

namespace vitrine::internal {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - highest);
  return highest + std::log(sum);
}

}  // namespace

ReferenceRows::ReferenceRows(const Model& model, const ModelOutput& output, TensorView rows)
    : model_(model), vocab_(static_cast<size_t>(model.config().vocab)) {
  output.visit(rows, [&](int64_t, std::span<const float> logits) {
    const double lse = log_sum_exp(logits);
    double negative_entropy = 0;
    for (const float x : logits) {
      const double log_p = x - lse, p = std::exp(log_p);
      probabilities_.push_back(p);
      if (p != 0) negative_entropy += p * log_p;  // a logit may be -infinity
    }
    negative_entropies_.push_back(negative_entropy);
  });
}

void ReferenceRows::compare(TensorView rows, bool final_layernorm,
                            const std::function<void(int64_t, const Compared&)>& see) const {
  visit_logits(model_, rows, final_layernorm, [&](int64_t row, std::span<const float> logits) {
    see(row, compared(row, logits));
  });
}

void ReferenceRows::compare_output(const ModelOutput& output, TensorView rows,
                                   const std::function<void(int64_t, const Compared&)>& see) const {
  output.visit(
      rows, [&](int64_t row, std::span<const float> logits) { see(row, compared(row, logits)); });
}

ReferenceRows::Compared ReferenceRows::compared(int64_t row, std::span<const float> logits) const {
  const double lse = log_sum_exp(logits);
  const double* p = probabilities_.data() + static_cast<size_t>(row) * vocab_;
  double cross = 0;
  for (size_t v = 0; v < vocab_; ++v) {
    if (p[v] != 0) cross += p[v] * (lse - logits[v]);
  }
  const double kl = negative_entropies_[static_cast<size_t>(row)] + cross;
  return {kl < 0 ? 0 : kl, lse, logits};  // below 0 by rounding only; a NaN stays one
}

}  // namespace vitrine::internal
