// SPDX-License-Identifier: MIT
#include "cli/core/site_syntax.h"

#include <utility>

#include "cli/core/hooks_option.h"

namespace vitrine::cli {

void add_edit_option(Command& command, std::vector<std::string>& edits) {
  // First: where hooks have no effect, an error names the option that was given.
  add_hooks_options(command);
  command
      .add_option("--edit", edits,
                  "Edit activations: SITE[SELECTION]=CHANGE with CHANGE one of zero, scale:X, "
                  "add:X, set:X, project:X, and X a number, a list [1,0.5] or FILE (x.npy, "
                  "x.safetensors#NAME, FILE*2 to multiply). Repeatable; applied in order")
      ->allow_extra_args(false)
      ->type_name("EDIT")
      ->group("Hooks");
}

Hooks parse_edits(const std::vector<std::string>& edits) {
  Hooks hooks;
  for (const std::string& text : edits) {
    Hooks::Change change = parse_edit(text);
    hooks.edit(std::move(change.sites), std::move(change.edit), std::move(change.where));
  }
  return hooks;
}

}  // namespace vitrine::cli
