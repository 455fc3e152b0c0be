// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "vitrine/generate.h"

namespace vitrine::internal {

/// Throws Error (user) for options out of range.
void check_generate_options(const GenerateOptions& options, size_t sequences, const Config& config);

}  // namespace vitrine::internal
