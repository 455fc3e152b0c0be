// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include "vitrine/analysis/factors.h"

namespace vitrine::internal {

/// How much of a component lies in each block, [layers]: its neurons' squares, which sum to 1.
std::vector<double> layer_shares(const Factors& factors, size_t component);

/// Throws Error (user) for factors of nothing, and for texts, strengths and neurons that do not fit
/// together.
void check_factors(const Factors& factors);

}  // namespace vitrine::internal
