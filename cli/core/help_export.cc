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

void add_help_export(Command& app, Context& context) {
  Command scripts = app.add_subcommand("completions", "Print a completion script for a shell");
  scripts.hide();
  const auto shell = std::make_shared<std::string>();
  scripts.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(one_of(std::vector<std::string>(std::begin(kShells), std::end(kShells))));
  scripts.callback([&app, &context, shell] {
    context.action = [&app, shell] { print(completions(app.help_table(), *shell)); };
  });

  Command man = app.add_subcommand("man", "Print the manual page");
  man.hide();
  man.callback(
      [&app, &context] { context.action = [&app] { print(man_page(app.help_table())); }; });
}

}  // namespace vitrine::cli
