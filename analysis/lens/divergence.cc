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

TensorView rows_between(TensorView matrix, int64_t first, int64_t count) {
  const int64_t width = matrix.shape().back();
  const auto* data = static_cast<const std::byte*>(matrix.data()) +
                     static_cast<size_t>(first * width) * dtype_size(matrix.dtype());
  return {data, matrix.dtype(), Shape{count, width}, matrix.residence()};
}

ReferenceRows::ReferenceRows(const Model& model, TensorView rows, bool final_layernorm)
    : model_(model), vocab_(static_cast<size_t>(model.config().vocab)) {
  visit_logits(model, rows, final_layernorm, [&](int64_t, std::span<const float> logits) {
    const double lse = log_sum_exp(logits);
    double negative_entropy = 0;
    for (const float x : logits) {
      const double log_p = x - lse, p = std::exp(log_p);
      probabilities_.push_back(p);
      negative_entropy += p * log_p;
    }
    negative_entropies_.push_back(negative_entropy);
  });
}

void ReferenceRows::compare(TensorView rows, bool final_layernorm,
                            const std::function<void(int64_t, const Compared&)>& see) const {
  visit_logits(model_, rows, final_layernorm, [&](int64_t row, std::span<const float> logits) {
    const double lse = log_sum_exp(logits);
    const double* p = probabilities_.data() + static_cast<size_t>(row) * vocab_;
    double cross = 0;
    for (size_t v = 0; v < vocab_; ++v) cross += p[v] * (lse - logits[v]);
    // Never below 0 but for rounding.
    see(row, {std::max(0.0, negative_entropies_[static_cast<size_t>(row)] + cross), lse, logits});
  });
}

}  // namespace vitrine::internal
