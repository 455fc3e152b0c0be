// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/json_value.h"

namespace vitrine::cli {
using namespace internal;

/// Becomes Python, for what only the package vitrine has: its vitrine/from_command.py reads
/// `request` from standard input and ends as a command does. The interpreter is VITRINE_PYTHON,
/// which the package sets when it starts this program, or python3. `option`: the one that needs
/// Python. Throws Error (user) if there is no interpreter.
[[noreturn]] void start_python(const std::string& option, JsonValue request);

}  // namespace vitrine::cli
