// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <utility>

#include "report/figures/figure.h"

namespace vitrine::internal {

double largest_size(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) {
    if (std::isfinite(value)) most = std::max(most, std::abs(value));
  }
  return most > 0 ? most : 1;
}

void turn_over(HeatPanel& panel) {
  const auto columns = static_cast<std::ptrdiff_t>(panel.columns.size());
  std::reverse(panel.rows.begin(), panel.rows.end());
  const auto turn = [&](auto& cells) {
    auto turned = cells;
    for (auto row = cells.begin(), to = turned.end(); row != cells.end(); row += columns)
      std::copy(row, row + columns, to -= columns);
    cells = std::move(turned);
  };
  turn(panel.values);
  if (!panel.texts.empty()) turn(panel.texts);
}

}  // namespace vitrine::internal
