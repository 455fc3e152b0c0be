// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace vitrine::internal {

/// Requested indices within [first, size), ascending and without repeats; `from_end`: negative ones
/// count from the end. Calls `refuse(index)`, which throws, for one outside.
template <typename T, typename Refuse>
std::vector<T> sorted_indices(const std::vector<T>& requested, int64_t first, int64_t size,
                              Refuse&& refuse, bool from_end = true) {
  std::vector<T> found;
  for (const T index : requested) {
    const int64_t i = from_end && index < 0 ? index + size : index;
    if (i < first || i >= size) refuse(index);
    found.push_back(static_cast<T>(i));
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace vitrine::internal
