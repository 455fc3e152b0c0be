// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <memory>
#include <optional>

#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "cli/saliency/saliency_args.h"
#include "cli/saliency/saliency_view.h"
#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct SaliencyCommandArgs {
  PromptArgs prompt;
  SaliencyArgs saliency;
  std::string show;
  std::optional<int> top_k;
  ResultArgs output;
};

void draw(const Context& context, const SaliencyCommandArgs& args, const Saliency& result,
          const Names& names, const Prompt& prompt, const std::string& what) {
  const Terminal& out = context.out;
  const bool text = result.steps.size() > 1 && !args.top_k;
  const std::string show = !args.show.empty() ? args.show : text ? "text" : "table";
  print(out.paint(Style::kTitle, prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size())
                                                     : printable(prompt.text)) +
        "\n" + out.paint(Style::kDim, what) + "\n");
  const SaliencyPicture picture{result, names, out};
  if (show == "text") print("\n" + draw_saliency_lines(picture));
  for (size_t step = 0; (show == "table" || show == "both") && step < result.steps.size(); ++step)
    print("\n" + draw_step(picture, step, static_cast<size_t>(args.top_k.value_or(10))));
  if (show == "grid" || show == "both") print("\n" + draw_saliency_grid(picture));
}

void run(const Context& context, const SaliencyCommandArgs& args) {
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model);
  SaliencyOptions options = saliency_options(args.saliency, model);
  const Names names(model.shared_tokenizer());
  const std::string what = describe(args.saliency, names, options);
  std::vector<Saliency> results;
  for (const Prompt& prompt : prompts) {
    ProgressBar bar({.unit = "inputs"});
    options.progress = &bar;
    results.push_back(saliency(model, prompt.ids, options));
  }
  const PageSource source = PageSource::of(model, context.command_line);
  const auto found = described(std::span<const Saliency>(results), [&](const Saliency& each) {
    Result result = saliency_result(each, source);
    result.facts["settings"] = settings_json(args.saliency);
    return result;
  });
  write_results(args.output, found, source);
  if (context.json) return print_json(results_json("saliency", model, found, prompts));
  for (size_t i = 0; i < results.size(); ++i) {
    if (i > 0) print("\n");
    draw(context, args, results[i], names, prompts[i], what);
  }
}

}  // namespace

void add_saliency(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "saliency", "Show the importance of each token of a text for the next token");
  const auto args = std::make_shared<SaliencyCommandArgs>();
  add_prompt_options(command, args->prompt);
  add_saliency_options(command, args->saliency);
  const auto group = "Saliency";
  command
      .add_option(
          "--show", args->show,
          "text: a line a step, its input coloured; table: each step in detail; grid: steps "
          "x tokens; both: table and grid [table, or text for several steps without --top-k]")
      ->check(one_of({"text", "table", "grid", "both"}))
      ->type_name("WHAT")
      ->group(group)
      ->not_with("--json");
  command
      .add_option("--top-k", args->top_k,
                  "Number of tokens to list per step, largest shares first [10]")
      ->check(in_range(0, 100000))
      ->type_name("K")
      ->group(group)
      ->not_with("--json")
      ->not_with("--show", {"text", "grid"});
  add_edit_option(command, args->saliency.edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  set_examples(command,
               "  vitrine saliency --prompt \"Heathrow airport is located in the city of\" "
               "--method integrated-gradients\n"
               "  vitrine saliency --prompt \"The keys to the cabinet\" --target \" are\" "
               "--contrast \" is\"");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
