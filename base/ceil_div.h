// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine::internal {

/// a / b rounded up. 0 <= a, 1 <= b.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace vitrine::internal
