// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/core/context.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;

/// `generate --choices`: given continuations are scored, and nothing is generated.
struct ChoiceArgs {
  std::vector<std::string> texts, ids;
  bool given() const { return !texts.empty() || !ids.empty(); }
};

/// --choices and --choices-ids.
void add_choice_options(Command& command, ChoiceArgs& args, const std::string& group);
/// Prints a table for each prompt, or JSON.
void show_choices(const Context& context, const ChoiceArgs& args, const PromptArgs& prompts,
                  const std::vector<std::string>& edits);

}  // namespace vitrine::cli
