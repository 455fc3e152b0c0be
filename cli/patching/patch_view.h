// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "cli/core/terminal.h"
#include "report/result.h"

namespace vitrine::cli {
using namespace internal;

/// The metric of whole runs, then the panels. Neurons and senders, which are too many, as a list of
/// the largest.
std::string draw_patch(const Result& result, const std::string& metric, const std::string& note,
                       size_t top, const Terminal& out);

}  // namespace vitrine::cli
