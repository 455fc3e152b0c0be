// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/lens.h"

namespace vitrine::cli {
using namespace internal;

/// Every number of a lens.
JsonValue lens_json(const Lens& lens, const Names& names);

/// Everything as arrays in a .safetensors file; docs/CLI.md has the names. Throws Error (user) as
/// SafetensorsWriter does.
void save_lenses(const std::vector<Lens>& results, const std::string& path,
                 const std::map<std::string, std::string>& metadata);

}  // namespace vitrine::cli
