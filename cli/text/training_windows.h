// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/core/context.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;

/// Options of `vitrine score --windows`.
struct WindowArgs {
  int64_t window = 0, stride = 0;  ///< stride 0: the window
  std::string out;                 ///< a .safetensors file, or empty
};

/// The training windows of the texts.
void show_windows(const Context& context, const Model& model, const std::vector<Prompt>& prompts,
                  const WindowArgs& args);

}  // namespace vitrine::cli
