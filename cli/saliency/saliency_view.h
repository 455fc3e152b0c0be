// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine::cli {
using namespace internal;

/// What a saliency is drawn with.
struct SaliencyPicture {
  const Saliency& saliency;
  const Names& names;
  const Terminal& out;
};

/// One step: the text, coloured, and the `top_k` tokens that matter most, a line each.
std::string draw_step(const SaliencyPicture& picture, size_t step, size_t top_k);

/// A line a step: the next token, and its input, coloured; without colours the inputs that matter
/// most.
std::string draw_saliency_lines(const SaliencyPicture& picture);

/// A line a step, a column a token.
std::string draw_saliency_grid(const SaliencyPicture& picture);

}  // namespace vitrine::cli
