// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/attention.h"

namespace vitrine::cli {
using namespace internal;

/// Maps as pictures: for one query a line a head, else a grid of queries by keys for each head.
std::string draw_maps(const AttentionMaps& maps, const Names& names, const Terminal& out);

/// Rollout or flow: for one query a line a layer, else a grid of queries by inputs for each layer.
std::string draw_relevance(const AttentionRelevance& relevance, const Names& names,
                           const Terminal& out);

/// A line a head: statistics of the texts, and scores on repeated random tokens.
std::string draw_heads(const HeadStatistics& statistics, const RepetitionScores& scores,
                       const Terminal& out);

}  // namespace vitrine::cli
