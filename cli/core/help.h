// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitrine::cli {

/// Columns of a line of help: those of the terminal, and 100 at most.
size_t help_width();

/// One line or more of help: `name` on the left, `text` wrapped on the right, within
/// help_width().
std::string help_entry(const std::string& name, std::string_view text);

}  // namespace vitrine::cli
