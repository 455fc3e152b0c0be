// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "base/json_value.h"
#include "cli/core/terminal.h"
#include "vitrine/config.h"
#include "vitrine/sites.h"

namespace vitrine::cli {
using namespace internal;

std::vector<SiteRef> all_sites(const Config& config);
/// A line a site, the layers of one together: name, shape in letters, shape in this model's
/// numbers, note.
std::string site_table(const Terminal& out, const Config& config,
                       const std::vector<SiteRef>& sites);
JsonValue sites_json(const Config& config, const std::vector<SiteRef>& sites);

}  // namespace vitrine::cli
