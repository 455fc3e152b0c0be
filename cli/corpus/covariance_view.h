// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/terminal.h"
#include "report/result.h"
#include "vitrine/report/page.h"

namespace vitrine::cli {
using namespace internal;

/// How many observations, the matrices if they are small, the strongest pair in words, the largest
/// eigenvalues and the strongest correlations. `described`: covariance_result() of the view;
/// `rows`: lines of the eigenvalues.
std::string covariance_text(const Terminal& out, const CovarianceView& view,
                            const Result& described, size_t rows);

}  // namespace vitrine::cli
