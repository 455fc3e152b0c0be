// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/terminal.h"
#include "cli/corpus/covariance_data.h"

namespace vitrine::cli {
using namespace internal;

/// How many observations, the largest eigenvalues, the strongest correlations, and the matrix
/// itself if it is small. `rows`: lines in each of the lists.
std::string covariance_text(const Terminal& out, const NamedCovariance& result, size_t rows);

}  // namespace vitrine::cli
