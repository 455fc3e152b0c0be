// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/options.h"
#include "vitrine/hook_text.h"

namespace vitrine::cli {

/// --edit, and --hooks and --save-hooks (hooks_option.h), of the commands that run a model.
void add_edit_option(Command& command, std::vector<std::string>& edits);
Hooks parse_edits(const std::vector<std::string>& edits);

}  // namespace vitrine::cli
