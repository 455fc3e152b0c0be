// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace vitrine::cli {

/// One line or more of help: `name` on the left, `text` wrapped on the right.
std::string help_entry(const std::string& name, std::string_view text);

}  // namespace vitrine::cli
