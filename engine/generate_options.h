// SPDX-License-Identifier: MIT
#pragma once

#include "vitrine/generate.h"

namespace vitrine::internal {

/// Throws Error (user) for options out of range.
void check_generate_options(const GenerateOptions& options, const Batch& prompts,
                            const Config& config);
/// Throws Error (user) for a prompt that the context has no room for with all new tokens.
void check_room(const GenerateOptions& options, const Batch& prompts, const Config& config);

}  // namespace vitrine::internal
