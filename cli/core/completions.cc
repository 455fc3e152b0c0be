// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cli/core/help_export.h"

namespace vitrine::cli {
namespace {

/// `text` with each of `characters` after a backslash.
std::string escaped(std::string_view text, std::string_view characters) {
  std::string out;
  for (const char c : text) {
    if (characters.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// As one word of a POSIX shell.
std::string posix_word(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::vector<std::string> command_names(const std::vector<CommandHelp>& commands) {
  std::vector<std::string> names;
  for (size_t i = 1; i < commands.size(); ++i) names.push_back(commands[i].name);
  return names;
}

std::string option_names(const CommandHelp& command) {
  std::string names;
  for (const OptionHelp& option : command.options) {
    if (!option.positional) names += fmt::format("{} ", fmt::join(option.names, " "));
  }
  if (!names.empty()) names.pop_back();
  return names;
}

// --- bash

/// Lines of a `case` over "COMMAND PREVIOUS_WORD": the choices of an option, or the shell's default
/// (files) where its value is open.
std::string bash_values(const CommandHelp& command) {
  std::string text;
  for (const OptionHelp& option : command.options) {
    if (option.positional || option.value.empty()) continue;
    std::vector<std::string> patterns;
    for (const std::string& name : option.names) {
      patterns.push_back(fmt::format("'{} {}'", command.name, name));
    }
    text += fmt::format("    {})", fmt::join(patterns, " | "));
    if (!option.choices.empty()) {
      text += fmt::format(" mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\");",
                          fmt::join(option.choices, " "));
    }
    text += " return ;;\n";
  }
  return text;
}

std::string bash(const std::vector<CommandHelp>& commands) {
  std::string values, words;
  for (const CommandHelp& command : commands) {
    if (command.name.empty()) continue;
    values += bash_values(command);
    words += fmt::format("    {}) words='{}' ;;\n", command.name, option_names(command));
  }
  return fmt::format(
      R"(# bash completion of vitrine
_vitrine() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command='' words i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${{COMP_WORDS[i]}} in
      {})
        command=${{COMP_WORDS[i]}}
        break
        ;;
    esac
  done
  COMPREPLY=()
  case "$command $previous" in
{}  esac
  case $command in
    '') words='{} {}' ;;
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _vitrine vitrine
)",
      fmt::join(command_names(commands), " | "), values, fmt::join(command_names(commands), " "),
      option_names(commands[0]), words);
}

// --- zsh

std::string zsh_options(const CommandHelp& command, std::string_view indent) {
  std::string text;
  for (const OptionHelp& option : command.options) {
    std::string value;
    if (!option.choices.empty()) {
      value = fmt::format(":{}:({})", option.value, fmt::join(option.choices, " "));
    } else if (!option.value.empty()) {
      value =
          fmt::format(":{}:{}", escaped(option.value, ":"), option.takes_file() ? "_files" : " ");
    }
    for (const std::string& name : option.names) {
      const std::string spec =
          option.positional ? fmt::format("*:{}:_files", name)
                            : fmt::format("*{}[{}]{}", name, escaped(option.text, "[]\\:"), value);
      text += fmt::format(" \\\n{}{}", indent, posix_word(spec));
    }
  }
  return text;
}

std::string zsh(const std::vector<CommandHelp>& commands) {
  std::string names, cases;
  for (const CommandHelp& command : commands) {
    if (command.name.empty()) continue;
    names += fmt::format("    {}\n", posix_word(command.name + ":" + escaped(command.text, "\\:")));
    cases += fmt::format("        {})\n          _arguments{}\n          ;;\n", command.name,
                         zsh_options(command, "            "));
  }
  return fmt::format(R"(#compdef vitrine
_vitrine() {{
  local state line curcontext=$curcontext
  local -a commands=(
{}  )
  _arguments -C{} \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
{}      esac
      ;;
  esac
}}
_vitrine "$@"
)",
                     names, zsh_options(commands[0], "    "), cases);
}

// --- fish

std::string fish_option(const OptionHelp& option, const std::string& condition) {
  std::string text = fmt::format("complete -c vitrine -n '{}'", condition);
  for (const std::string& name : option.names) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.choices.empty()) {
    text += fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
  } else if (!option.value.empty()) {
    text += option.takes_file() ? " -r -F" : " -x";
  }
  return text + fmt::format(" -d '{}'\n", escaped(option.text, "\\'"));
}

std::string fish(const std::vector<CommandHelp>& commands) {
  std::string text = "# fish completion of vitrine\ncomplete -c vitrine -f\n";
  for (const CommandHelp& command : commands) {
    const std::string condition = command.name.empty()
                                      ? std::string("__fish_use_subcommand")
                                      : "__fish_seen_subcommand_from " + command.name;
    if (!command.name.empty()) {
      text += fmt::format("complete -c vitrine -n __fish_use_subcommand -a {} -d '{}'\n",
                          command.name, escaped(command.text, "\\'"));
    }
    for (const OptionHelp& option : command.options) {
      text += option.positional ? fmt::format("complete -c vitrine -n '{}' -F\n", condition)
                                : fish_option(option, condition);
    }
  }
  return text;
}

}  // namespace

std::string completions(const std::vector<CommandHelp>& commands, std::string_view shell) {
  if (shell == "bash") return bash(commands);
  if (shell == "zsh") return zsh(commands);
  return fish(commands);
}

}  // namespace vitrine::cli
