// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace vitrine::cli {

/// Help as we want it: names and the kind of value on the left, the description wrapped on the
/// right, the default in brackets at its end.
std::shared_ptr<CLI::FormatterBase> make_help_formatter();

/// The kind of value that an option takes: "FILE"; empty for a flag.
std::string value_name(const CLI::Option& option);
/// An option's description, then its default in brackets.
std::string option_text(const CLI::Option& option);

}  // namespace vitrine::cli
