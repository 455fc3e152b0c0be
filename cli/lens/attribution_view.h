// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/pairs.h"

namespace vitrine::cli {
using namespace internal;

/// A table of the components with the largest contributions.
std::string draw_attribution(const LogitAttribution& found, const Names& names, const Terminal& out,
                             size_t top);

/// The same over pairs: means with standard errors.
std::string draw_attributed_pairs(const AttributedPairs& found, const Names& names,
                                  const Terminal& out, size_t top);

}  // namespace vitrine::cli
