// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

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
  std::vector<std::string> rows;  ///< names
};

/// One position, a line a layer: rank and probability of the target (or of each watched token), the
/// divergence where there is one, and the likeliest tokens.
std::string draw_ranks(const LensPicture& picture, size_t position);

}  // namespace vitrine::cli
