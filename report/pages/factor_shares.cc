// SPDX-License-Identifier: MIT
#include "report/pages/factor_shares.h"

#include <algorithm>

#include "base/check.h"
#include "report/page.h"
#include "vitrine/analysis/factors.h"

namespace vitrine::internal {

std::vector<double> layer_shares(const Factors& factors, size_t component) {
  std::vector<double> shares(factors.layers.size());
  for (size_t at = 0; at < static_cast<size_t>(factors.width()); ++at) {
    const double weight = factors.neurons[component * static_cast<size_t>(factors.width()) + at];
    shares[at / static_cast<size_t>(factors.inner)] += weight * weight;
  }
  return shares;
}

void check_factors(const Factors& factors) {
  check_results(static_cast<size_t>(std::max(factors.components, 0)), "factors");
  size_t tokens = 0;
  for (const auto& text : factors.texts) tokens += text.size();
  const auto components = static_cast<size_t>(factors.components);
  const bool fits = factors.inner > 0 && !factors.texts.empty() &&
                    tokens == static_cast<size_t>(factors.tokens) &&
                    factors.strengths.size() == components * tokens &&
                    factors.neurons.size() == components * static_cast<size_t>(factors.width());
  if (!fits) user_error("inconsistent sizes of the texts, strengths and neurons of factors");
}

}  // namespace vitrine::internal
