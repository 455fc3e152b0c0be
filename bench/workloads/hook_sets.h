// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/config.h"
#include "vitrine/hooks.h"

namespace vitrine::bench {

/// What benchmarks do to a pass, by name. Captured, as float32, which is what a capture is unless
/// requested otherwise: "none"; "residual", the stream before the first block and after each;
/// "residual+mlp", the MLPs' neurons and outputs besides; "maps", every head's attention pattern;
/// "everything", every site. Changed: "edit", a vector added to the stream after each block.
const std::vector<std::string>& hook_set_names();
/// Throws Error (user) naming the known ones.
Hooks hook_set(std::string_view name, const Config& config);

/// The set whose results differ from those of a pass without hooks.
inline constexpr std::string_view kEditSet = "edit";
/// That set, its vectors random numbers up to `size`.
Hooks edit_set(const Config& config, float size);

double captured_bytes(const Captures& captures);

}  // namespace vitrine::bench
