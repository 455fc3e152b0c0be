// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

namespace vitrine::cli {

/// Checks of an option's number that say in words what they want; CLI11's own print the largest
/// double.
CLI::Validator not_negative();
CLI::Validator above_zero();

}  // namespace vitrine::cli
