// SPDX-License-Identifier: MIT
#include "cli/core/help_export.h"

#include <memory>

#include "cli/core/context.h"
#include "cli/core/help.h"

namespace vitrine::cli {
namespace {

/// "a", "b" from CLI11's description of a closed list: "WHAT:{a,b}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find(":{"), end = type.find('}', begin);
  if (end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 2, end - begin - 2), ',');
}

OptionHelp option_help(const CLI::Option& option) {
  OptionHelp help;
  for (const std::string& name : option.get_snames()) help.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) help.names.push_back("--" + name);
  help.positional = help.names.empty();
  if (help.positional) help.names.push_back(option.get_name(true));
  help.value = value_name(option);
  help.choices = choices_of(option);
  help.group = option.get_group();
  help.text = option_text(option);
  return help;
}

CommandHelp command_help(const CLI::App& app, const std::string& name) {
  CommandHelp help{
      .name = name, .text = app.get_description(), .options = {}, .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options({})) {
    if (!option->get_group().empty()) help.options.push_back(option_help(*option));
  }
  return help;
}

}  // namespace

bool OptionHelp::takes_file() const {
  for (const char* kind : {"FILE", "FOLDER", "MODEL", "CORPUS", "PATH", "STATE"}) {
    if (value.find(kind) != std::string::npos) return true;
  }
  return false;
}

std::vector<CommandHelp> command_table(const CLI::App& app) {
  std::vector<CommandHelp> commands{command_help(app, "")};
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty())
      commands.push_back(command_help(*command, command->get_name()));
  }
  return commands;
}

void add_help_export(CLI::App& app, Context& context) {
  CLI::App& scripts = *app.add_subcommand("completions", "Print a completion script for a shell");
  scripts.group("");
  const auto shell = std::make_shared<std::string>();
  scripts.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kShells), std::end(kShells))));
  scripts.callback([&app, &context, shell] {
    context.action = [&app, shell] { print(completions(command_table(app), *shell)); };
  });

  CLI::App& man = *app.add_subcommand("man", "Print the manual page");
  man.group("");
  man.callback(
      [&app, &context] { context.action = [&app] { print(man_page(command_table(app))); }; });
}

}  // namespace vitrine::cli
