// SPDX-License-Identifier: MIT
#include "cli/core/help_export.h"

#include <iterator>
#include <memory>

#include "cli/core/context.h"
#include "cli/core/options.h"

namespace vitrine::cli {

bool OptionHelp::takes_file() const {
  for (const char* kind : {"FILE", "FOLDER", "MODEL", "CORPUS", "PATH", "STATE"}) {
    if (value.find(kind) != std::string::npos) return true;
  }
  return false;
}

namespace {

JsonValue rule_json(const OptionRule& rule) {
  JsonValue json = {{"kind", rule.kind == OptionRule::Kind::kOnly ? "only" : "not"},
                    {"words", words_of(rule)},
                    {"with", JsonValue::array()}};
  for (const With& with : rule.with) {
    json["with"].push_back(
        {{"option", with.option}, {"values", with.values}, {"absent", with.absent}});
  }
  return json;
}

JsonValue option_json(const OptionHelp& option) {
  JsonValue json = {{"names", option.names},      {"positional", option.positional},
                    {"value", option.value},      {"choices", option.choices},
                    {"default", option.fallback}, {"required", option.required},
                    {"group", option.group},      {"text", option.text},
                    {"rules", JsonValue::array()}};
  for (const OptionRule& rule : option.rules) json["rules"].push_back(rule_json(rule));
  return json;
}

}  // namespace

JsonValue option_table(const std::vector<CommandHelp>& commands) {
  JsonValue json = {
      {"vitrine", VITRINE_VERSION}, {"command", "man"}, {"commands", JsonValue::array()}};
  for (const CommandHelp& command : commands) {
    JsonValue one = {
        {"name", command.name}, {"text", command.text}, {"options", JsonValue::array()}};
    for (const OptionHelp& option : command.options) one["options"].push_back(option_json(option));
    json["commands"].push_back(std::move(one));
  }
  for (const ExitStatusInfo& info : kExitStatuses)
    json["exit_statuses"].push_back({{"status", info.status}, {"text", info.text}});
  return json;
}

void add_help_export(Command& app, Context& context) {
  Command scripts = app.add_subcommand("completions", "Print a completion script for a shell");
  scripts.hide();
  const auto shell = std::make_shared<std::string>();
  scripts.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(one_of(std::vector<std::string>(std::begin(kShells), std::end(kShells))));
  scripts.callback([&app, &context, shell] {
    context.action = [&app, shell] { print_as_is(completions(app.help_table(), *shell)); };
  });

  Command man = app.add_subcommand("man", "Print the manual page");
  man.hide();
  man.add_flag("--json", context.json, "Print the table of commands and options as JSON instead");
  man.callback([&app, &context] {
    context.action = [&app, &context] {
      if (context.json)
        print_json(option_table(app.help_table()));
      else
        print_as_is(man_page(app.help_table()));
    };
  });
}

}  // namespace vitrine::cli
