// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace vitrine::bench {

/// Repeated measurements of one thing. The median is the figure; minimum and maximum say how noisy
/// the machine was.
struct Samples {
  std::vector<double> values;

  void add(double value) { values.push_back(value); }
  bool empty() const { return values.empty(); }
  double min() const { return *std::min_element(values.begin(), values.end()); }
  double max() const { return *std::max_element(values.begin(), values.end()); }
  double median() const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const size_t half = sorted.size() / 2;
    return sorted.size() % 2 ? sorted[half] : 0.5 * (sorted[half - 1] + sorted[half]);
  }
  /// (max - min) / median: what a change must exceed before it means anything.
  double noise() const { return (max() - min()) / median(); }
};

}  // namespace vitrine::bench
