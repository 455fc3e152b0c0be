// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/core/tokens.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine::cli {
using namespace internal;

/// One prompt's answer in JSON, without prompt and settings.
JsonValue saliency_json(const Saliency& saliency, const Names& names);

/// Writes one .safetensors file. For prompt i: ids.i [T] i32, targets.i [S] i32, inputs.i [S] i64
/// (n of each step), shares.i and scores.i [S, T] f64.
void save_saliency(const std::vector<Saliency>& results, const std::string& path,
                   const std::map<std::string, std::string>& metadata);

}  // namespace vitrine::cli
