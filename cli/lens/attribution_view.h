// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "base/json_value.h"
#include "cli/core/arrays.h"
#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/attribution.h"

namespace vitrine::cli {
using namespace internal;

/// A table of the components with the largest contributions, then layers by heads.
std::string draw_attribution(const LogitAttribution& found, const Names& names, const Terminal& out,
                             size_t top);

JsonValue attribution_json(const LogitAttribution& found, const Names& names);

/// Appends, of prompt i: ids.i [T] i32, head.i [L, H], attention_bias.i, mlp.i [L], rest.i [3] f64:
/// token embedding, position embedding, bias of the final layernorm; with neurons neuron.i [N, 2]
/// i64 (layer, neuron), activation.i and contribution.i [N] f64.
void add_arrays(Arrays& arrays, const LogitAttribution& found, size_t prompt);

}  // namespace vitrine::cli
