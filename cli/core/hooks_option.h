// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/core/options.h"
#include "vitrine/hook_file.h"

namespace vitrine::cli {

inline constexpr const char* kHooksOption = "--hooks";
inline constexpr const char* kSaveHooksOption = "--save-hooks";

/// Both options, for commands with --edit. They have no variables: CommandLine::parse() replaces
/// the one by the options that the file replaces, and gives what the other one saves.
void add_hooks_options(Command& command);

/// --capture=..., --gradient=..., --edit=..., --store=... and --seed=... of a file, so that the
/// rules of these options hold. `has`: whether the command has an option; `given`: whether the user
/// has given it. Throws Error (user) for a file that is not valid, for a field that the command has
/// no option for, and for a second store or seed.
std::vector<std::string> words_of_hooks(const std::string& file,
                                        const std::function<bool(const std::string&)>& has,
                                        const std::function<bool(const std::string&)>& given);

/// The file that replaces the given values of these options. Throws Error (user) for values that
/// are not valid, and if there are none.
HookFile hooks_of_values(
    const std::function<std::vector<std::string>(const std::string&)>& values_of);

}  // namespace vitrine::cli
