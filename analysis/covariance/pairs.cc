// SPDX-License-Identifier: MIT
// Which variables go together, and which have no correlation.

#include <algorithm>
#include <cmath>

#include "vitrine/analysis/covariance.h"

namespace vitrine {

std::vector<int64_t> constant_variables(const Covariance& covariance) {
  std::vector<int64_t> constant;
  const std::vector<double>& values =
      covariance.scaled.empty() ? covariance.values : covariance.scaled;
  for (int64_t i = 0; i < covariance.variables; ++i) {
    if (values[static_cast<size_t>(i * covariance.variables + i)] == 0) constant.push_back(i);
  }
  return constant;
}

std::vector<VariablePair> strongest_pairs(std::span<const double> correlation, int64_t variables,
                                          size_t count) {
  const auto strength = [&](const VariablePair& pair) {
    return std::abs(correlation[static_cast<size_t>(pair.i * variables + pair.j)]);
  };
  const auto stronger = [&](const VariablePair& a, const VariablePair& b) {
    const double x = strength(a), y = strength(b);
    return x != y ? x > y : a.i != b.i ? a.i < b.i : a.j < b.j;
  };
  std::vector<VariablePair> best;  // a heap whose front is the weakest
  for (int64_t i = 0; i < variables && count > 0; ++i) {
    for (int64_t j = i + 1; j < variables; ++j) {
      const VariablePair pair{i, j};
      if (std::isnan(strength(pair)) || (best.size() == count && !stronger(pair, best.front())))
        continue;
      if (best.size() == count) {
        std::pop_heap(best.begin(), best.end(), stronger);
        best.pop_back();
      }
      best.push_back(pair);
      std::push_heap(best.begin(), best.end(), stronger);
    }
  }
  std::sort(best.begin(), best.end(), stronger);
  return best;
}

}  // namespace vitrine
