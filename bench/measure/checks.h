// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "vitrine/config.h"

// Every figure comes from a result that was checked in the same run.

namespace vitrine::bench {

/// Any tokens do, as long as they differ: a step of this length visits the whole vocabulary.
std::vector<int32_t> some_tokens(const Config& config, int64_t count, int64_t offset = 0);

/// Throws Error (internal) saying which check failed: then the figures mean nothing.
void require(bool holds, const char* what);

}  // namespace vitrine::bench
