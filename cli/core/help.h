// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace vitrine::cli {

/// Help as we want it: names and the kind of value on the left, the description wrapped on the
/// right, the default in brackets at its end.
std::shared_ptr<CLI::FormatterBase> make_help_formatter();

}  // namespace vitrine::cli
