// SPDX-License-Identifier: MIT
#include <memory>

#include "base/check.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/table_args.h"
#include "cli/predictivity/predictivity_files.h"
#include "cli/predictivity/predictivity_view.h"
#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct PredictivityCommandArgs {
  std::string stimuli, responses, subjects, ceiling;
  std::string context = "group", regression = "ridge", choice = "gcv", fold_kind = "grouped",
              alphas;
  TableArgs table;
  std::vector<std::string> sites, edits;
  std::vector<uint64_t> control_seeds = {0};
  bool no_control = false;
  int folds = 5, bootstraps = 1000;
  uint64_t seed = 0;
  ResultArgs output;
};

PredictivityOptions options_of(const PredictivityCommandArgs& args, const Context& context,
                               const Model& model) {
  PredictivityOptions options;
  if (!args.sites.empty()) options.features.sites = args.sites;
  options.features.context = stimulus_context_from_name(args.context);
  options.features.edits = parse_edits(args.edits);
  options.regression.method = regression_from_name(args.regression);
  options.regression.choice = alpha_choice_from_name(args.choice);
  if (!args.alphas.empty()) options.regression.alphas = parse_numbers(args.alphas, "--alphas");
  options.folds = args.folds;
  options.fold_kind = fold_kind_from_name(args.fold_kind);
  options.seed = args.seed;
  options.control_seeds = args.no_control ? std::vector<uint64_t>{} : args.control_seeds;
  options.control_model = {.device = context.device,
                           .gemm = context.gemm,
                           .arithmetic = context.arithmetic,
                           .dtype = model.dtype(),
                           .threads = context.threads};
  options.bootstraps = args.bootstraps;
  return options;
}

std::string describe(const PredictivityCommandArgs& args, const PredictivityOptions& options,
                     const Result& result) {
  std::string text = result.label + "; " + args.regression;
  if (options.regression.method == Regression::kRidge) {
    text += fmt::format(", {} alphas by {}", options.regression.alphas.size(), args.choice);
  }
  return text + fmt::format(", {} {} folds, context: {}, seed {}", args.folds, args.fold_kind,
                            args.context, args.seed);
}

JsonValue settings_json(const PredictivityCommandArgs& args, const PredictivityOptions& options) {
  JsonValue json = {{"context", args.context},
                    {"regression", args.regression},
                    {"folds", args.folds},
                    {"fold_kind", args.fold_kind},
                    {"seed", args.seed},
                    {"bootstraps", args.bootstraps},
                    {"control_seeds", options.control_seeds}};
  if (options.regression.method == Regression::kRidge) {
    json["alphas"] = options.regression.alphas;
    json["choice"] = args.choice;
  }
  return json;
}

/// Stimuli whose text another group, or another fold, has as well.
struct Repeats {
  std::vector<int64_t> across_groups, across_folds;
};

Repeats repeats_of(const StimulusTexts& texts, const Predictivity& found) {
  std::vector<std::string> folds;
  for (const int32_t fold : found.folds) folds.push_back(std::to_string(fold));
  return {repeated_stimuli(texts.texts, texts.groups), repeated_stimuli(texts.texts, folds)};
}

std::string repeats_text(const Repeats& repeats) {
  std::string text;
  if (!repeats.across_groups.empty())
    text += fmt::format("{} stimuli have a text that another group has as well\n",
                        repeats.across_groups.size());
  if (!repeats.across_folds.empty())
    text += fmt::format(
        "{} stimuli have a text that is in another fold as well, which inflates scores: give equal "
        "texts one group\n",
        repeats.across_folds.size());
  return text;
}

void run(const Context& context, const PredictivityCommandArgs& args) {
  const StimulusTexts texts = read_stimuli(args.stimuli);
  const Responses responses =
      read_responses(args.responses, args.subjects, args.ceiling, args.table.options());
  const Model model = load_model(context);
  PredictivityOptions options = options_of(args, context, model);
  Stimuli stimuli =
      encode_stimuli(model.tokenizer(), texts.texts, texts.groups, options.features.context);
  stimuli.before = model.frame().before;
  Predictivity found;
  {
    ProgressBar bar({.unit = ""});
    options.progress = &bar;
    found = predictivity(model, stimuli, responses, options);
  }
  const Repeats repeats = repeats_of(texts, found);
  Result result = predictivity_result(found);
  result.facts["settings"] = settings_json(args, options);
  result.facts["repeated"] = {{"stimuli", repeats.across_groups},
                              {"in_other_folds", repeats.across_folds}};
  write_results(args.output, {&result, 1}, PageSource::of(model, context.command_line));
  if (!context.json) {
    const Terminal& out = context.out;
    return print(out.paint(Style::kTitle, fmt::format("{} on {}", model.name(), args.responses)) +
                 "\n" + out.paint(Style::kDim, describe(args, options, result)) + "\n\n" +
                 draw_predictivity(found, result, out) + repeats_text(repeats));
  }
  JsonValue json = json_head("predictivity", model);
  json["predictivity"] = result_json(result, Names(nullptr));
  print_json(json);
}

void add_data_options(Command& command, PredictivityCommandArgs& args) {
  const auto group = "Data";
  command
      .add_option("--stimuli", args.stimuli,
                  "Stimuli: .csv or .tsv with the columns text,group, or .json or .jsonl with "
                  "objects of these fields (docs/PREDICTIVITY.md)")
      ->required()
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--responses", args.responses,
                  "Responses, one row per stimulus and one column per neuroid: .npy, or a table "
                  "with a header line (.csv, .tsv, .txt)")
      ->required()
      ->type_name("FILE")
      ->group(group);
  add_table_options(command, args.table, "--responses", group);
  command
      .add_option("--subjects", args.subjects,
                  "Subject of each neuroid: a file of names, one per line [a row of the .csv, or "
                  "one subject]")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--ceiling", args.ceiling,
                  "Noise ceiling of r: a number, or a file with one per neuroid, .npy or one per "
                  "line [none]")
      ->type_name("X|FILE")
      ->group(group);
  command
      .add_option("--context", args.context,
                  "Context of a stimulus: group (the earlier stimuli of its group) or none")
      ->check(one_of({"group", "none"}))
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group);
}

void add_study_options(Command& command, PredictivityCommandArgs& args) {
  const auto group = "Study";
  command
      .add_option("--site", args.sites,
                  "Sites whose activations are the features; repeatable [blocks.0.hook_resid_pre "
                  "and blocks.*.hook_resid_post]")
      ->allow_extra_args(false)
      ->type_name("PATTERN")
      ->group(group);
  command
      .add_option("--regression", args.regression,
                  "Regression: ridge or ols (least squares of minimum norm)")
      ->check(one_of({"ridge", "ols"}))
      ->capture_default_str()
      ->type_name("METHOD")
      ->group(group);
  command
      .add_option("--alphas", args.alphas,
                  "Penalties to choose from [0.001,0.01,0.1,1,10,100,1000]")
      ->type_name("LIST")
      ->group(group)
      ->only_with("--regression", {"ridge"});
  command
      .add_option("--choice", args.choice,
                  "Criterion of the penalty: gcv (generalised cross-validation) or loo "
                  "(leave-one-out, as scikit-learn's RidgeCV), within the training folds")
      ->check(one_of({"gcv", "loo"}))
      ->capture_default_str()
      ->type_name("HOW")
      ->group(group)
      ->only_with("--regression", {"ridge"});
  command.add_option("--folds", args.folds, "Number of folds, each held out in turn")
      ->capture_default_str()
      ->type_name("K")
      ->group(group);
  command
      .add_option("--fold-kind", args.fold_kind,
                  "grouped: groups are held out as a whole; shuffled: stimuli at random, which "
                  "inflates scores")
      ->check(one_of({"grouped", "shuffled"}))
      ->capture_default_str()
      ->type_name("KIND")
      ->group(group);
  command
      .add_option("--control-seeds", args.control_seeds,
                  "Seeds of untrained models of the same shape: 0,1,2")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str()
      ->type_name("LIST")
      ->group(group);
  command.add_flag("--no-control", args.no_control, "No untrained model")
      ->group(group)
      ->not_with("--control-seeds");
  command
      .add_option("--bootstraps", args.bootstraps,
                  "Bootstrap draws of the 95 % intervals; 0: no intervals")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--seed", args.seed, "Seed of folds and bootstrap")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
}

}  // namespace

void add_predictivity(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "predictivity", "Show how well each layer predicts brain responses to the same texts");
  const auto args = std::make_shared<PredictivityCommandArgs>();
  add_data_options(command, *args);
  add_study_options(command, *args);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  set_examples(command,
               "  vitrine predictivity --stimuli stimuli.csv --responses responses.csv\n"
               "  vitrine predictivity --stimuli pereira.csv --responses voxels.npy --subjects "
               "subjects.txt --ceiling 0.32 -m gpt2-xl");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
