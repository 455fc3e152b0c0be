// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;

// What the commands of analyses whose results are described (report/result.h) have in common. A
// command derives its own options from AnalysisArgs, and says in add_analysis() how they are
// declared and what runs; there an AnalysisRun reads the input and shows the results.

struct AnalysisArgs {
  std::string command;
  PromptArgs prompt;
  std::vector<std::string> edits;
  ResultArgs output;
};

/// A model and what is shown of it.
class AnalysisRun {
 public:
  /// Loads the model. `context` and `args` must outlive this.
  AnalysisRun(const Context& context, const AnalysisArgs& args);

  const Model& model() const { return model_; }
  const PageSource& source() const { return source_; }
  const Names& names() const { return names_; }

  /// As read_prompts(), for this model.
  std::vector<Prompt> prompts(const PromptArgs& args) const;
  /// `analyse(prompt, progress)` of each; `unit` is what progress counts.
  template <typename Analyse>
  auto each(const std::vector<Prompt>& prompts, const std::string& unit, Analyse analyse) const {
    return column_of(prompts, [&](const Prompt& prompt) {
      ProgressBar bar({.unit = unit});
      return analyse(prompt, static_cast<Progress*>(&bar));
    });
  }

  /// Writes the requested files. Prints the results of the prompts as JSON or, with an empty line
  /// between, what `draw(index)` returns.
  void show(std::span<const Result> results, const std::vector<Prompt>& prompts,
            const std::function<std::string(size_t)>& draw) const;
  /// The same of one result, which in JSON has the command's name.
  void show(const Result& result, const std::function<std::string()>& draw) const;

 private:
  const Context& context_;
  const AnalysisArgs& args_;
  Model model_;
  PageSource source_;
  Names names_;
};

/// --edit, and the options of the model and of results; the help's examples.
void add_analysis_options(Command& command, Context& context, AnalysisArgs& args,
                          const std::string& examples);

struct AnalysisHelp {
  std::string name, description;
  std::string examples;  ///< two runs that a newcomer can copy
};

/// Adds a command with options of its own, which `add_options` declares. `Args` derives from
/// AnalysisArgs.
template <typename Args>
Command add_analysis(Command& app, Context& context, const AnalysisHelp& help,
                     void (*add_options)(Command&, Args&),
                     void (*run)(const Context&, const Args&)) {
  Command command = app.add_subcommand(help.name, help.description);
  const auto args = std::make_shared<Args>();
  args->command = help.name;
  add_options(command, *args);
  add_analysis_options(command, context, *args, help.examples);
  command.callback(
      [&context, args, run] { context.action = [&context, args, run] { run(context, *args); }; });
  return command;
}

}  // namespace vitrine::cli
