// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/options.h"

namespace CLI {
class ParseError;
}  // namespace CLI

// What is wrong with an option's value, and with the arguments as CLI11 reads them, in our words.

namespace vitrine::cli {

/// Has the option read decimal numbers alone, those that T holds: signs and, for float and double,
/// exponents; "010" is ten. Others are refused: hexadecimal ones, fractions of a whole number,
/// numbers out of T's range. Returns the option.
template <typename T>
CLI::Option* decimal(CLI::Option* option);

/// The kind of value that an option takes: "FILE"; empty for a flag.
std::string value_name(const CLI::Option& option);
/// The values of an option that one_of() checks; none for others.
std::vector<std::string> choices_of(const CLI::Option& option);

/// What CLI11 refused in the arguments of `app`: which option, what is wrong, what was expected.
std::string words_of(const CLI::ParseError& error, const CLI::App& app);

}  // namespace vitrine::cli
