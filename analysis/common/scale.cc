// SPDX-License-Identifier: MIT
#include "analysis/common/scale.h"

#include <algorithm>
#include <cmath>

namespace vitrine::internal {

int scale_exponent(double largest) {
  constexpr int kModerate = 300;
  if (!(largest > 0) || std::isinf(largest)) return 0;
  const int exponent = std::ilogb(largest);
  return std::abs(exponent) <= kModerate ? 0 : exponent;
}

std::vector<int> scale_columns(Matrix& x) {
  std::vector<double> largest(static_cast<size_t>(x.columns()));
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (size_t j = 0; j < largest.size(); ++j) {
      if (const double value = std::abs(x.row(i)[j]); std::isfinite(value))
        largest[j] = std::max(largest[j], value);
    }
  }
  std::vector<int> exponents;
  for (const double value : largest) exponents.push_back(scale_exponent(value));
  unscale_columns(x, opposite(exponents));
  return exponents;
}

void unscale_columns(Matrix& x, const std::vector<int>& exponents) {
  if (!any_scaled(exponents)) return;
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (size_t j = 0; j < exponents.size(); ++j)
      x.row(i)[j] = std::ldexp(x.row(i)[j], exponents[j]);
  }
}

std::vector<int> opposite(std::vector<int> exponents) {
  for (int& exponent : exponents) exponent = -exponent;
  return exponents;
}

bool any_scaled(const std::vector<int>& exponents) {
  return std::any_of(exponents.begin(), exponents.end(), [](int e) { return e != 0; });
}

}  // namespace vitrine::internal
