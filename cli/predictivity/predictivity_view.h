// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/terminal.h"
#include "report/result.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine::cli {
using namespace internal;

/// A line a site: score with its interval, the untrained control, what training gained, and a mark
/// for the best and for what cannot be told from it; then what needs a word. `described`:
/// predictivity_result().
std::string draw_predictivity(const Predictivity& found, const Result& described,
                              const Terminal& out);

}  // namespace vitrine::cli
