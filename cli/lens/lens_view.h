// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/lens.h"

namespace vitrine::cli {
using namespace internal;

/// What a lens is drawn with.
struct LensPicture {
  const Lens& lens;
  const Names& names;
  const Terminal& out;
  int64_t vocab;
  int layers;  ///< of the model
};

/// What a grid's cells show.
enum class LensCell { kToken, kRank, kProbability, kKl };

/// One position, a line a layer: rank and probability of the target (or of each watched token), the
/// divergence where there is one, and the likeliest tokens.
std::string draw_ranks(const LensPicture& picture, size_t position);

/// A line a layer, a column a position.
std::string draw_grid(const LensPicture& picture, LensCell cell);

}  // namespace vitrine::cli
