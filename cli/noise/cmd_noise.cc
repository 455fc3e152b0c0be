// SPDX-License-Identifier: MIT
#include <memory>

#include "base/check.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "cli/noise/noise_view.h"
#include "cli/saliency/saliency_args.h"
#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct NoiseCommandArgs {
  PromptArgs prompt;
  std::vector<std::string> kinds, edits;
  std::string mask = "mean", continuation, continuation_ids, show;
  double budget = 0.15, poisson = 3;
  int repetitions = 50;
  size_t examples = 1;
  uint64_t seed = 0;
  ResultArgs output;
};

NoiseOptions options_of(const NoiseCommandArgs& args, const Model& model) {
  NoiseOptions options;
  for (const std::string& kind : args.kinds) options.kinds.push_back(noise_kind_from_name(kind));
  options.repetitions = args.repetitions;
  options.budget = args.budget;
  options.poisson = args.poisson;
  options.seed = args.seed;
  options.mask = parse_replacement(args.mask, model);
  if (!args.continuation.empty())
    options.continuation = model.tokenizer().encode(args.continuation);
  if (!args.continuation_ids.empty()) options.continuation = parse_ids(args.continuation_ids);
  options.edits = parse_edits(args.edits);
  return options;
}

std::string describe(const NoiseCommandArgs& args) {
  return fmt::format("{} repetitions, {} of the tokens, mask: {}, seed {}", args.repetitions,
                     args.budget, args.mask, args.seed);
}

void draw(const Context& context, const NoiseCommandArgs& args, const Noise& found,
          const Names& names, const Prompt& prompt) {
  const Terminal& out = context.out;
  const NoisePicture picture{found, names, out};
  print(out.paint(Style::kTitle, prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size())
                                                     : printable(prompt.text)) +
        "\n" +
        out.paint(Style::kDim,
                  fmt::format("{}; {} tokens, {} words, {} sentence{}: budget {}", describe(args),
                              found.ids.size(), found.words, found.sentences,
                              found.sentences == 1 ? "" : "s", found.budget)) +
        "\n\n");
  if (args.show != "layers") print(draw_noise(picture));
  if (args.show != "layers" && args.examples > 0)
    print("\n" + draw_noised_prompts(picture, args.examples));
  if (args.show == "layers" || args.show == "both")
    print((args.show == "both" ? "\n" : "") + draw_noise_layers(picture));
}

void run(const Context& context, const NoiseCommandArgs& args) {
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model);
  NoiseOptions options = options_of(args, model);
  const Names names(model.shared_tokenizer());
  std::vector<Noise> results;
  for (const Prompt& prompt : prompts) {
    ProgressBar bar({.unit = "inputs"});
    options.progress = &bar;
    results.push_back(noise(model, prompt.ids, options));
  }
  const PageSource source = PageSource::of(model, context.command_line);
  std::vector<Result> found = described(std::span<const Noise>(results), [&](const Noise& each) {
    Result result = noise_result(each, source);
    result.facts["settings"] = {{"repetitions", args.repetitions},
                                {"budget", args.budget},
                                {"poisson", args.poisson},
                                {"mask", args.mask},
                                {"seed", args.seed}};
    return result;
  });
  write_results(args.output, found, source);
  if (context.json) return print_json(results_json("noise", model, found, prompts));
  for (size_t i = 0; i < results.size(); ++i) {
    if (i > 0) print("\n");
    draw(context, args, results[i], names, prompts[i]);
  }
}

}  // namespace

void add_noise(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "noise", "Show the effect of masked spans, scattered tokens and other noise on predictions");
  const auto args = std::make_shared<NoiseCommandArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Noise";
  command
      .add_option("--kind", args->kinds,
                  "Kind of noise: spans, scattered, token-masking, token-deletion, text-infilling, "
                  "sentence-permutation, rotation; repeatable [all]")
      ->allow_extra_args(false)
      ->type_name("KIND")
      ->group(group);
  command
      .add_option("--mask", args->mask,
                  "Replacement of a masked token: mean (of the vocabulary's embeddings), zero, "
                  "token:TEXT, id:N, delete, or a file [D]")
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group)
      ->only_with({{"--kind", {"spans", "scattered", "token-masking", "text-infilling"}},
                   {"--kind", {}, true}});
  command.add_option("--budget", args->budget, "Share of tokens to mask or delete, 0..1")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with(
          {{"--kind", {"spans", "scattered", "token-*", "text-infilling"}}, {"--kind", {}, true}});
  command.add_option("--repetitions", args->repetitions, "Number of draws per kind")
      ->capture_default_str()
      ->type_name("R")
      ->group(group);
  command.add_option("--poisson", args->poisson, "Mean span length in tokens")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with({{"--kind", {"text-infilling"}}, {"--kind", {}, true}});
  command.add_option("--seed", args->seed, "Seed of all draws")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  add_text_option(command, "--continuation", args->continuation, args->continuation_ids,
                  "Expected continuation of the prompt [the model's top-ranked token]; leading "
                  "spaces count: \" London\"",
                  group);
  for (const char* name : {"--continuation", "--continuation-ids"}) {
    command.option(name)->only_with(
        {{"--show", {"layers"}, true}, {"--json"}, {"--out"}, {"--html"}, {"--svg"}, {"--png"}});
  }
  command
      .add_option("--show", args->show,
                  "table: one line per kind; layers: cosine and CKA of every layer; both [table]")
      ->check(one_of({"table", "layers", "both"}))
      ->type_name("WHAT")
      ->group(group)
      ->not_with("--json");
  command.add_option("--examples", args->examples, "Number of corrupted prompts to show per kind")
      ->check(in_range(0, 1000000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--json")
      ->not_with("--show", {"layers"});
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  set_examples(
      command,
      "  vitrine noise --prompt \"The keys to the old cabinet near the door of the house\"\n"
      "  vitrine noise --text-file story.txt --kind spans --kind scattered --mask token:_ "
      "--repetitions 200");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
