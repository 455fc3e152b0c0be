// SPDX-License-Identifier: MIT
#include "cli/core/analysis_command.h"

#include "cli/core/site_syntax.h"

namespace vitrine::cli {
using namespace internal;

AnalysisRun::AnalysisRun(const Context& context, const AnalysisArgs& args)
    : context_(context),
      args_(args),
      model_(load_model(context)),
      source_(PageSource::of(model_, context.command_line)),
      names_(model_.shared_tokenizer()) {}

std::vector<Prompt> AnalysisRun::prompts(const PromptArgs& args) const {
  return read_prompts(args, model_);
}

void AnalysisRun::show(std::span<const Result> results, const std::vector<Prompt>& prompts,
                       const std::function<std::string(size_t)>& draw) const {
  write_results(args_.output, results, source_);
  if (context_.json) return print_json(results_json(args_.command, model_, results, prompts));
  for (size_t i = 0; i < results.size(); ++i) print((i > 0 ? "\n" : "") + draw(i));
}

void AnalysisRun::show(const Result& result, const std::function<std::string()>& draw) const {
  write_results(args_.output, {&result, 1}, source_);
  if (!context_.json) return print(draw());
  JsonValue json = json_head(args_.command, model_);
  json[args_.command] = result_json(result, names_);
  print_json(json);
}

void add_analysis_options(Command& command, Context& context, AnalysisArgs& args,
                          const std::string& examples) {
  add_edit_option(command, args.edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args.output);
  set_examples(command, examples);
}

}  // namespace vitrine::cli
