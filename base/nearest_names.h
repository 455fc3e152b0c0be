// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// The names of `candidates` nearest to `name`, at most `count`, for error messages: first those
/// that begin with it, then by edit distance.
std::vector<std::string> nearest_names(std::string_view name,
                                       const std::vector<std::string>& candidates, size_t count);

}  // namespace vitrine::internal
