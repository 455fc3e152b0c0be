// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <memory>

#include "cli/core/context.h"
#include "cli/core/heat.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "cli/lens/attribution_view.h"
#include "cli/patching/pairs_file.h"
#include "report/results/results.h"
#include "vitrine/analysis/pairs.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct AttributeCommandArgs {
  PromptArgs prompt;
  std::string target, against, pairs;
  std::vector<std::string> edits;
  int target_id = -1, against_id = -1, neurons = 0;
  int64_t position = -1;
  size_t top = 12;
  ResultArgs output;
};

/// Of a file of pairs.
void run_pairs(const Context& context, const AttributeCommandArgs& args, const Model& model) {
  ProgressBar bar({.unit = "pairs"});
  const AttributedPairs found = attribute_pairs(
      model, read_pairs(args.pairs, model),
      {.position = args.position, .edits = parse_edits(args.edits), .progress = &bar});
  bar.erase();
  const PageSource source = PageSource::of(model, context.command_line);
  const Names names(model.shared_tokenizer());
  const Result result = attributed_pairs_result(found, source);
  write_results(args.output, {{result}}, source);
  if (context.json) {
    JsonValue json = json_head("attribute", model);
    json.update(result_json(result, names));
    return print_json(json);
  }
  std::string text = draw_attributed_pairs(found, names, context.out, args.top);
  for (const Panel& panel : result.panels) {
    const auto& heat = std::get<HeatPanel>(panel);
    text +=
        "\n" + context.out.paint(Style::kTitle, heat.title) + "\n" + draw_heat(heat, context.out);
  }
  print(text);
}

void run(const Context& context, const AttributeCommandArgs& args) {
  const Model model = load_model(context);
  if (!args.pairs.empty()) return run_pairs(context, args, model);
  const auto prompts = read_prompts(args.prompt, model);
  const Names names(model.shared_tokenizer());
  AttributionOptions options{
      .position = args.position, .neurons = args.neurons, .edits = parse_edits(args.edits)};
  if (const auto target = token_from(args.target, args.target_id, model)) options.target = *target;
  if (const auto against = token_from(args.against, args.against_id, model))
    options.against = *against;
  const PageSource source = PageSource::of(model, context.command_line);
  std::vector<Result> results;
  std::string text;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const LogitAttribution found = logit_attribution(model, prompts[i].ids, options);
    const Result& result = results.emplace_back(attribution_result(found, source));
    const std::string title = prompts[i].text.empty() ? fmt::format("{} ids", prompts[i].ids.size())
                                                      : printable(prompts[i].text);
    text += (i > 0 ? "\n" : "") + context.out.paint(Style::kTitle, title) + "\n" +
            draw_attribution(found, names, context.out, args.top) + "\n" +
            draw_heat(std::get<HeatPanel>(result.panels[0]), context.out);
  }
  write_results(args.output, results, source);
  if (context.json) return print_json(results_json("attribute", model, results, prompts));
  print(text);
}

}  // namespace

void add_attribute(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "attribute", "Show the contributions of heads, MLPs and neurons to a logit");
  const auto args = std::make_shared<AttributeCommandArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Attribution";
  add_token_option(command, "--target", args->target, args->target_id,
                   "Token whose logit is explained [the model's top-ranked token]; leading spaces "
                   "count: \" London\"",
                   group);
  add_token_option(command, "--against", args->against, args->against_id,
                   "Token whose logit is subtracted from the target's", group);
  command
      .add_option("--position", args->position,
                  "Position whose next token is explained, from 0, negative from the end")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_option("--neurons", args->neurons,
                  "Number of single MLP neurons to list, largest contributions first")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--top", args->top, "Number of components to list, largest first")
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--json");
  add_pairs_option(command, args->pairs);
  for (const char* name : {"--prompt", "--prompt-file", "--text-file", "--ids", "--special",
                           "--target", "--target-id", "--against", "--against-id", "--neurons"})
    command.option(name)->not_with("--pairs");
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  set_examples(command,
               "  vitrine attribute --prompt \"Heathrow airport is located in the city of\" "
               "--target \" London\"\n"
               "  vitrine attribute --prompt \"The keys to the cabinet\" --target \" are\" "
               "--against \" is\" --neurons 10\n"
               "  vitrine attribute --pairs pairs.jsonl");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
