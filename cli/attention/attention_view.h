// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/terminal.h"
#include "report/result.h"
#include "vitrine/analysis/attention.h"

namespace vitrine::cli {
using namespace internal;

/// Maps, rollout or flow: for one query a line a head or layer, else a grid of queries by keys
/// each.
std::string draw_queries(const Result& result, const Terminal& out);

/// A line a head: statistics of the texts, and scores on repeated random tokens.
std::string draw_heads(const HeadStatistics& statistics, const RepetitionScores& scores,
                       const Terminal& out);

}  // namespace vitrine::cli
