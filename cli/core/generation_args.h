// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/options.h"
#include "vitrine/generate.h"

namespace vitrine::cli {
using namespace internal;

/// --temperature, the filters and the penalties; with a `count` they have an effect with that
/// option only.
void add_sampling_options(Command& command, SamplingOptions& sampling, const std::string& group,
                          const std::string& count = "");

/// Up to `tokens` new tokens, or to the end of the text.
GenerateOptions generation_of(int tokens, const SamplingOptions& sampling, const Model& model);

}  // namespace vitrine::cli
