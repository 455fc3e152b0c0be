// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// The names of `candidates` nearest to `name` by edit distance, nearest first, at most `count`:
/// for error messages.
std::vector<std::string> nearest_names(std::string_view name,
                                       const std::vector<std::string>& candidates, size_t count);

}  // namespace vitrine::internal
