// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/hooks.h"

namespace vitrine::internal {

/// Whether an edit is limited to the tokens of the prompt, or to generated ones.
bool limits_tokens(const Hooks& hooks);
/// The hooks with each edit that is limited to the tokens of the prompt, or to generated ones, as
/// edits of positions, one for each sequence. Throws Error (user) for such an edit that also names
/// positions, and for a sequence that the batch does not have.
Hooks at_positions(const Hooks& hooks, std::span<const std::vector<int32_t>> prompts);

}  // namespace vitrine::internal
