// SPDX-License-Identifier: MIT
#include "base/nearest_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace vitrine::internal {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view name,
                                       const std::vector<std::string>& candidates, size_t count) {
  struct Ranked {
    bool other_start;
    size_t distance;
    const std::string* name;
  };
  std::vector<Ranked> ranked;
  ranked.reserve(candidates.size());
  for (const std::string& candidate : candidates)
    ranked.push_back(
        {!candidate.starts_with(name), edit_distance(name.substr(0, 200), candidate), &candidate});
  std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) {
    return std::pair(a.other_start, a.distance) < std::pair(b.other_start, b.distance);
  });
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(count, ranked.size()); ++i) names.push_back(*ranked[i].name);
  return names;
}

}  // namespace vitrine::internal
