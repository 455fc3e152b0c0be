// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/arrays.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine::cli {
using namespace internal;

JsonValue metric_json(const PatchMetric& metric, const Names& names);
JsonValue grids_json(const std::vector<PatchGrid>& grids);
JsonValue work_json(const PatchWork& work);
JsonValue paths_json(const PathPatching& found);

/// SITE.layers [R] i64, SITE.columns [C] i64, and of SITE.values, SITE.effects, SITE.estimates [R,
/// C] f64 those that there are.
Arrays grid_arrays(const std::vector<PatchGrid>& grids);

}  // namespace vitrine::cli
