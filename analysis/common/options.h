// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "vitrine/config.h"
#include "vitrine/hooks.h"

namespace vitrine::internal {

// What several analyses do with their options.

/// Throws Error (user) for an id outside the vocabulary.
inline void check_id(const Config& config, int32_t id, std::string_view what) {
  if (id < 0 || id >= config.vocab)
    user_error("the {} {} is out of range: expected 0..{}", what, id, config.vocab - 1);
}

/// Ascending, without repeats, negatives counted from the end. Empty: all of [first, size). Throws
/// Error (user) for one outside.
template <typename T>
std::vector<T> resolve_indices(const Indices<T>& asked, T first, T size, std::string_view what,
                               std::string_view of) {
  std::vector<T> found = asked.resolve(first, size, [&](T index) {
    user_error("{} {} is out of range: expected {}..{}, the {}", what, index, first, size - 1, of);
  });
  if (asked.empty()) {
    found.resize(static_cast<size_t>(size - first));
    std::iota(found.begin(), found.end(), first);
  }
  return found;
}

/// The value that has this name, where names[i] is that of value i. Throws Error (user) that lists
/// them.
template <typename Enum, size_t N>
Enum value_named(const std::array<std::string_view, N>& names, std::string_view name,
                 std::string_view what) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    user_error("unknown {} '{}': expected one of {}", what, name, fmt::join(names, ", "));
  return static_cast<Enum>(found - names.begin());
}

}  // namespace vitrine::internal
