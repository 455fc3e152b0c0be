// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/core/context.h"
#include "cli/core/tokens.h"
#include "vitrine/beam_search.h"

namespace vitrine::cli {
using namespace internal;

/// `generate --beams`.
struct BeamArgs {
  std::optional<int> beams;
  float length_penalty = BeamOptions().length_penalty;
  std::string end = "heuristic";
};

/// --beams, --length-penalty and --early-stopping.
void add_beam_options(Command& command, BeamArgs& args, const std::string& group);
/// Prints `results` continuations of each prompt with their scores, or JSON. `text` is that of new
/// tokens after a prompt.
void show_beams(const Context& context, const BeamArgs& args, int results,
                const std::vector<Prompt>& prompts, const Model& model,
                const GenerateOptions& options, const Hooks& edits);

}  // namespace vitrine::cli
