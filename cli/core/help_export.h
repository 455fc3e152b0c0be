// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_value.h"
#include "cli/core/option_rules.h"

// The option table of --help for other readers: shells that complete command lines, and man.

namespace vitrine::cli {
using namespace internal;

class Command;
struct Context;

struct OptionHelp {
  std::vector<std::string> names;  ///< "-p", "--prompt"; one name without dashes if positional
  bool positional = false;
  std::string value;                 ///< kind of value: "FILE"; empty for a flag
  std::vector<std::string> choices;  ///< all values, if they are a closed list
  std::string group;                 ///< "Input"
  std::string text;      ///< description, the default in brackets, then the rules in parentheses
  std::string fallback;  ///< the default; empty: none, or the text says it
  bool required = false;
  std::vector<OptionRule> rules;

  /// Whether the value may be the name of a file or folder.
  bool takes_file() const;
};

/// Command::help_table() makes them: `vitrine` itself, then the commands that --help shows.
struct CommandHelp {
  std::string name;  ///< empty for `vitrine` itself
  std::string text;
  std::vector<OptionHelp> options;
  std::string footer;  ///< examples
};

inline constexpr std::string_view kShells[] = {"bash", "zsh", "fish"};
/// A completion script for one of kShells.
std::string completions(const std::vector<CommandHelp>& commands, std::string_view shell);
/// A manual page in the man macros of roff.
std::string man_page(const std::vector<CommandHelp>& commands);

/// The same for programs: every command with its options and their rules.
JsonValue option_table(const std::vector<CommandHelp>& commands);

/// The commands `completions` and `man`, which --help does not show: installing runs them.
void add_help_export(Command& app, Context& context);

}  // namespace vitrine::cli
