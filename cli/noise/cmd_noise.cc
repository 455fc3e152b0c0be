// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "cli/core/analysis_command.h"
#include "cli/core/site_syntax.h"
#include "cli/noise/noise_view.h"
#include "cli/saliency/saliency_args.h"
#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct NoiseCommandArgs : AnalysisArgs {
  std::vector<std::string> kinds;
  std::string mask = "mean", continuation, continuation_ids, show;
  double budget = 0.15, poisson = 3;
  int repetitions = 50;
  size_t examples = 1;
  uint64_t seed = 0;
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

std::string draw(const NoisePicture& picture, const NoiseCommandArgs& args, const Prompt& prompt) {
  const Noise& found = picture.noise;
  std::string text =
      heading(prompt, picture.out) +
      picture.out.paint(Style::kDim,
                        fmt::format("{}; {} tokens, {} words, {} sentence{}: budget {}",
                                    describe(args), found.ids.size(), found.words, found.sentences,
                                    found.sentences == 1 ? "" : "s", found.budget)) +
      "\n\n";
  if (args.show != "layers") text += draw_noise(picture);
  if (args.show != "layers" && args.examples > 0)
    text += "\n" + draw_noised_prompts(picture, args.examples);
  if (args.show == "layers" || args.show == "both")
    text += (args.show == "both" ? "\n" : "") + draw_noise_layers(picture);
  return text;
}

void run(const Context& context, const NoiseCommandArgs& args) {
  const AnalysisRun analysis(context, args);
  const auto prompts = analysis.prompts(args.prompt);
  NoiseOptions options = options_of(args, analysis.model());
  const std::vector<Noise> results =
      analysis.each(prompts, "inputs", [&](const Prompt& prompt, Progress* progress) {
        options.progress = progress;
        return noise(analysis.model(), prompt.ids, options);
      });
  const auto found = described(std::span(results), [&](const Noise& each) {
    Result result = noise_result(each, analysis.source());
    result.facts["settings"] = {{"repetitions", args.repetitions},
                                {"budget", args.budget},
                                {"poisson", args.poisson},
                                {"mask", args.mask},
                                {"seed", args.seed}};
    return result;
  });
  analysis.show(found, prompts, [&](size_t i) {
    return draw({results[i], analysis.names(), context.out}, args, prompts[i]);
  });
}

void add_noise_options(Command& command, NoiseCommandArgs& args) {
  add_prompt_options(command, args.prompt);
  const auto group = "Noise";
  command
      .add_option("--kind", args.kinds,
                  "Kind of noise: spans, scattered, token-masking, token-deletion, text-infilling, "
                  "sentence-permutation, rotation; repeatable [all]")
      ->allow_extra_args(false)
      ->type_name("KIND")
      ->group(group);
  command
      .add_option("--mask", args.mask,
                  "Replacement of a masked token: mean (of the vocabulary's embeddings), zero, "
                  "token:TEXT, id:N, delete, or a file [D]")
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group)
      ->only_with({{"--kind", {"spans", "scattered", "token-masking", "text-infilling"}},
                   {"--kind", {}, true}});
  command.add_option("--budget", args.budget, "Share of tokens to mask or delete, 0..1")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with(
          {{"--kind", {"spans", "scattered", "token-*", "text-infilling"}}, {"--kind", {}, true}});
  command.add_option("--repetitions", args.repetitions, "Number of draws per kind")
      ->capture_default_str()
      ->type_name("R")
      ->group(group);
  command.add_option("--poisson", args.poisson, "Mean span length in tokens")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with({{"--kind", {"text-infilling"}}, {"--kind", {}, true}});
  command.add_option("--seed", args.seed, "Seed of all draws")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  add_text_option(command, "--continuation", args.continuation, args.continuation_ids,
                  "Expected continuation of the prompt [the model's top-ranked token]; leading "
                  "spaces count: \" London\"",
                  group);
  for (const char* name : {"--continuation", "--continuation-ids"}) {
    command.option(name)->only_with(
        {{"--show", {"layers"}, true}, {"--json"}, {"--out"}, {"--html"}, {"--svg"}, {"--png"}});
  }
  command
      .add_option("--show", args.show,
                  "table: one line per kind; layers: cosine and CKA of every layer; both [table]")
      ->check(one_of({"table", "layers", "both"}))
      ->type_name("WHAT")
      ->group(group)
      ->not_with("--json");
  command.add_option("--examples", args.examples, "Number of corrupted prompts to show per kind")
      ->check(in_range(0, 1000000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--json")
      ->not_with("--show", {"layers"});
}

}  // namespace

void add_noise(Command& app, Context& context) {
  add_analysis(
      app, context,
      {"noise", "Show the effect of masked spans, scattered tokens and other noise on predictions",
       "  vitrine noise --prompt \"The keys to the old cabinet near the door of the house\"\n"
       "  vitrine noise --text-file story.txt --kind spans --kind scattered --mask token:_ "
       "--repetitions 200"},
      add_noise_options, run);
}

}  // namespace vitrine::cli
