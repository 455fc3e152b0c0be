// SPDX-License-Identifier: MIT
#include "report/figures/figure_style.h"

#include <fmt/core.h>

#include <cmath>

namespace vitrine::internal {

double stop(std::string_view stops, size_t which, size_t channel) {
  return std::stoi(std::string(stops.substr(7 * which + 2 * channel, 2)), nullptr, 16) / 255.0;
}

std::string number(double value) { return value == 0 ? "0" : fmt::format("{:.3g}", value); }

std::vector<double> ticks(double low, double high, double wanted) {
  const double rough = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double times : {5.0, 2.0, 1.0}) {
    if (times * power >= rough) step = times * power;
  }
  std::vector<double> found;
  for (double at = std::ceil(low / step - 1e-9) * step; at <= high + 1e-9 * step; at += step)
    found.push_back(std::abs(at) < 1e-9 * step ? 0 : at);
  return found;
}

}  // namespace vitrine::internal
