// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/context.h"

namespace vitrine::cli {
using namespace internal;

/// What `vitrine lens --fit` is given.
struct LensFitArgs {
  std::string corpus;  ///< empty: nothing is to be fitted
  double alpha = 1e-3;
  int64_t tokens = 0;
  std::vector<std::string> edits;  ///< of --edit
};

/// Fits translators, writes them to `folder` and shows what they are worth on held-out text.
void fit_lens(const Context& context, const LensFitArgs& args, const std::string& folder);

}  // namespace vitrine::cli
