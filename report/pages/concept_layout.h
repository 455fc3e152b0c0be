// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vitrine/analysis/concepts.h"

namespace vitrine::internal {

/// Where a result's sites stand along the depth of a model, for pages and figures: a line for each
/// kind of site.
struct ConceptLayout {
  std::vector<std::string> x;      ///< "embed", blocks' numbers, "final"
  std::vector<std::string> lines;  ///< kinds of site: "resid_post", "attn.z"
  std::vector<int32_t> sites;      ///< [lines, x] places among the results; -1: none
  size_t best = 0;  ///< the result of the largest AUC, and among equals of the largest d; the first
                    ///< if none has any
};

ConceptLayout concept_layout(std::span<const ConceptDirection> results);

/// Whether a site holds vectors of the residual stream's own basis, which alone makes directions of
/// different sites comparable.
bool is_in_stream(std::string_view site);

}  // namespace vitrine::internal
