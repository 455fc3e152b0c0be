// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <memory>

#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/tokens.h"
#include "cli/lens/attribution_view.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct AttributeCommandArgs {
  PromptArgs prompt;
  std::string target, against, out;
  int target_id = -1, against_id = -1, neurons = 0;
  int64_t position = -1;
  size_t top = 12;
  PageArgs page;
};

void run(const Context& context, const AttributeCommandArgs& args) {
  if (!args.out.empty()) check_array_path(args.out);
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model.shared_tokenizer(), model.name());
  const Names names(model.shared_tokenizer());
  const AttributionOptions options{.target = token_from(args.target, args.target_id, model),
                                   .against = token_from(args.against, args.against_id, model),
                                   .position = args.position,
                                   .neurons = args.neurons};
  JsonValue json = json_head("attribute", model);
  Arrays arrays;
  std::string text;
  std::vector<LogitAttribution> results;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const LogitAttribution& found =
        results.emplace_back(logit_attribution(model, prompts[i].ids, options));
    add_arrays(arrays, found, i);
    if (context.json) {
      JsonValue result = attribution_json(found, names);
      add_text(result["prompt"], prompts[i].text);
      result["prompt"]["tokens"] = names.json(prompts[i].ids);
      json["results"].push_back(std::move(result));
      continue;
    }
    const std::string title = prompts[i].text.empty() ? fmt::format("{} ids", prompts[i].ids.size())
                                                      : printable(prompts[i].text);
    text += (i > 0 ? "\n" : "") + context.out.paint(Style::kTitle, title) + "\n" +
            draw_attribution(found, names, context.out, args.top);
  }
  if (!args.out.empty())
    write_arrays(args.out, arrays, {{"vitrine", VITRINE_VERSION}, {"model", model.name()}});
  write_page(args.page, context, model,
             [&](const PageSource& source) { return attribution_page(results, source); });
  write_figures(args.page, [&](FigureFormat format) {
    return attribution_figure(results, PageSource::of(model), format);
  });
  if (context.json) return print_json(json);
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
  command.add_option("-o,--out", args->out, "Write all numbers to FILE.safetensors as well")
      ->type_name("FILE")
      ->group(group);
  add_model_options(command, context);
  add_output_options(command, context);
  add_page_options(command, args->page);
  add_figure_options(command, args->page);
  set_examples(command,
               "  vitrine attribute --prompt \"Heathrow airport is located in the city of\" "
               "--target \" London\"\n"
               "  vitrine attribute --prompt \"The keys to the cabinet\" --target \" are\" "
               "--against \" is\" --neurons 10");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
