// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/options.h"

namespace vitrine::cli {

/// --pairs FILE, for read_pairs().
void add_pairs_option(Command& command, std::string& path);

}  // namespace vitrine::cli
