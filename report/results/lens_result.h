// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "report/panels.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/report/page.h"

namespace vitrine::internal {

/// Where the vector of a row (of Lens::layers) was read: "embed", "blocks.3.hook_resid_post", and
/// "logits" for the model's own output.
std::string lens_site(LensSource of, int row, int layers);
std::vector<std::string> lens_sites(const Lens& lens, int layers);

/// What a grid's cells show.
enum class LensCell { kToken, kRank, kProbability, kKl };
/// Layers by positions, coloured by the rank of what follows.
HeatPanel lens_heat(const Lens& lens, const PageSource& source, LensCell cell);

}  // namespace vitrine::internal
