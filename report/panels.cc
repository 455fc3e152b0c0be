// SPDX-License-Identifier: MIT
#include "report/panels.h"

#include <algorithm>
#include <cmath>

namespace vitrine::internal {

double largest_size(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) {
    if (std::isfinite(value)) most = std::max(most, std::abs(value));
  }
  return most > 0 ? most : 1;
}

}  // namespace vitrine::internal
