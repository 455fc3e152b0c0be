// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/options.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/model.h"

namespace vitrine::cli {

/// --pairs FILE
void add_pairs_option(Command& command, std::string& path);

/// The pairs of a file, a JSON object a line: "clean", "corrupt" (text or a list of ids), "answer",
/// "wrong" (a token as text or id, or a list of them). Throws Error (user) naming the line for one
/// that is not such an object or has another field.
std::vector<PatchPair> read_pairs(const std::string& path, const Model& model);

}  // namespace vitrine::cli
