// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>

#include "base/json_value.h"
#include "cli/core/terminal.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine::cli {
using namespace internal;

/// A line a site: score with its interval, the untrained control, what lies between the two; then
/// what needs a word.
std::string draw_predictivity(const Predictivity& found, const Terminal& out);

/// Every number.
JsonValue predictivity_json(const Predictivity& found);

/// Writes one .safetensors file, for R sites: r [R, Q] (mean over the folds), scores [R], intervals
/// [R, 2], subjects [R, S] f64; with controls control_scores [R, seeds], control_intervals [R, 2],
/// advantages [R], advantage_intervals [R, 2] f64; baseline_r [Q] f64; folds [N] i32.
void save_predictivity(const Predictivity& found, const std::string& path,
                       std::map<std::string, std::string> metadata);

}  // namespace vitrine::cli
