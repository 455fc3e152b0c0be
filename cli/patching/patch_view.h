// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine::cli {
using namespace internal;

/// What a patch's grids are drawn with.
struct PatchPicture {
  const Names& names;
  const Terminal& out;
  std::span<const int32_t> ids;  ///< of the prompt whose positions are columns
  /// What is drawn: effects as they are, in units of the metric; or as shares of the way from one
  /// prompt's answer to the other's.
  enum class Scale { kMetric, kFromCorrupt, kFromClean } scale;
  PatchMetric::Kind metric;
};

/// Layers by columns; for neurons, which are too many, a list of the largest.
std::string draw_grid(const PatchPicture& picture, const PatchGrid& grid, size_t top);

/// The senders with the largest effects.
std::string draw_paths(const PatchPicture& picture, const PathPatching& found, size_t top);

std::string draw_work(const PatchPicture& picture, const PatchWork& work);

/// "logit of ' London' less that of ' Paris'"
std::string describe(const PatchMetric& metric, const Names& names);

}  // namespace vitrine::cli
