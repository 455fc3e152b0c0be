// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

namespace vitrine::internal {

/// Which GPU ModelOptions::device names: 0 for "cuda", N for "cuda:N", nothing for "cpu". Throws
/// Error (user) for any other name.
std::optional<int> gpu_index(const std::string& device);

}  // namespace vitrine::internal
