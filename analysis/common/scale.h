// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "analysis/common/matrix.h"

// Scaling by powers of two, which rounds nothing, so that squares of very large or small numbers
// (1e200, 1e-200) neither overflow nor vanish.

namespace vitrine::internal {

/// The exponent e for which x * 2^-e has moderate squares, for numbers x of magnitude up to
/// `largest`; 0 where they have so already, that is between 2^-300 and 2^300, and for 0.
int scale_exponent(double largest);

/// Multiplies each column by 2^-e and returns its e; all are 0 for numbers of usual size. NaN and
/// infinity stay as they are.
std::vector<int> scale_columns(Matrix& x);
/// Multiplies column j by 2^exponents[j].
void unscale_columns(Matrix& x, const std::vector<int>& exponents);
std::vector<int> opposite(std::vector<int> exponents);
bool any_scaled(const std::vector<int>& exponents);

}  // namespace vitrine::internal
