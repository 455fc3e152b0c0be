// SPDX-License-Identifier: MIT
#pragma once

#include "cli/core/context.h"

namespace vitrine::cli {
using namespace internal;

using AddCommands = void (*)(Command& app, Context& context);

/// A whole program: its arguments, the commands that it has, its errors as one line on stderr.
/// Returns the exit status, an ExitStatus.
int run_program(int argc, const char* const* argv, AddCommands add_commands);

}  // namespace vitrine::cli
