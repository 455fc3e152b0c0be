// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/context.h"
#include "cli/core/generation_args.h"
#include "cli/core/heat.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "cli/lens/lens_fit.h"
#include "cli/lens/lens_view.h"
#include "report/results/lens_result.h"
#include "report/results/results.h"
#include "vitrine/analysis/lens.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct LensArgs {
  PromptArgs prompt;
  LensFitArgs fit;
  std::string mode, of = "residual", translators, position, layers, target, show, cell = "token";
  std::vector<std::string> watch, watch_ids, edits;
  int target_id = -1, top_k = 5, generate = 0;
  ResultArgs output;
  bool kl = false;
  SamplingOptions sampling;

  /// Translators say by themselves which lens is meant.
  LensMode lens_mode() const {
    return mode.empty() ? (translators.empty() ? LensMode::kNormalized : LensMode::kTuned)
                        : lens_mode_from_name(mode);
  }
};

void check(const LensArgs& args) {
  const bool tuned = args.lens_mode() == LensMode::kTuned;
  if (tuned && args.translators.empty())
    user_error(
        "missing translators of --mode tuned: use --translators FOLDER, or create them with --fit");
}

int32_t token_of(const Model& model, const std::string& text) {
  return model.tokenizer().single_token(text);
}

/// Rows of Lens, whose row 0 is what enters the first block: layers count from 0.
std::vector<int> rows_from(const LensArgs& args, int layers) {
  const bool residual = args.of == "residual";
  std::vector<int> rows;
  for (const std::string& item : split_list(args.layers)) {
    if (residual && (item == "embed" || item == "logits")) {
      rows.push_back(item == "embed" ? 0 : layers);
      continue;
    }
    const auto refuse = [&](int layer) {
      user_error("--layers {} is out of range: expected 0..{}{}", layer, layers - 1,
                 residual ? ", embed or logits" : "");
    };
    const Indices<int> blocks = parse_indices<int>("--layers", item);
    for (const int layer : blocks.resolve(0, layers, refuse)) rows.push_back(layer + 1);
  }
  return rows;
}

LensOptions options_of(const LensArgs& args, const Model& model) {
  LensOptions options;
  options.mode = args.lens_mode();
  options.of = lens_source_from_name(args.of);
  if (options.mode == LensMode::kTuned) options.tuned = load_tuned_lens(args.translators, model);
  options.kl = args.kl || args.cell == "kl";
  options.top_k = args.top_k;
  for (const std::string& list : args.watch) {
    for (const std::string& text : split_list(list)) options.watch.push_back(token_of(model, text));
  }
  for (const std::string& list : args.watch_ids) {
    for (const int32_t id : parse_ids(list)) options.watch.push_back(id);
  }
  if (!args.position.empty())
    options.positions = parse_indices<int64_t>("--position", args.position);
  if (!args.layers.empty()) options.layers = rows_from(args, model.config().layers);
  if (!args.target.empty()) options.target = token_of(model, args.target);
  if (args.target_id >= 0) options.target = args.target_id;
  options.edits = parse_edits(args.edits);
  return options;
}

/// Of translators without a hash only the name can tell that they were made for another model.
void warn_of_other_model(const TunedLens& tuned, const LensArgs& args, const Model& model) {
  const auto last = [](const std::string& name) {
    return std::filesystem::path(name).lexically_normal().filename().string();
  };
  if (!tuned.unembedding.empty() || !tuned.unembed_hash.empty() || tuned.model.empty() ||
      last(tuned.model) == last(model.name()))
    return;
  warn(
      fmt::format("{}: the translators were made for {}, and nothing in the files tells whether "
                  "this model, {}, is the same",
                  args.translators, quote(tuned.model), quote(model.name())));
}

/// What is looked at: the text, or its continuation.
Lens look(const Model& model, const Prompt& prompt, const LensArgs& args,
          const LensOptions& options) {
  if (args.generate == 0) return lens(model, prompt.ids, options);
  return rankings(model, prompt.ids, generation_of(args.generate, args.sampling, model), options);
}

/// Why this token is the target of this position.
std::string reason(const Lens& lens, const LensArgs& args, const LensOptions& options, size_t p) {
  if (args.generate > 0) return "which was generated";
  if (lens.positions[p] + 1 < static_cast<int64_t>(lens.ids.size()))
    return "which follows in the text";
  return options.target ? "as asked" : "the model's own choice";
}

void draw(const LensPicture& picture, const LensArgs& args, const LensOptions& options,
          const Prompt& prompt, const PageSource& source) {
  const Lens& lens = picture.lens;
  const Terminal& out = picture.out;
  const bool grid = args.show == "grid" || args.show == "both" ||
                    (args.show.empty() && args.position.empty() && lens.positions.size() > 1);
  const bool ranks = args.show != "grid";
  const std::string of = lens.of == LensSource::kResidual
                             ? ""
                             : fmt::format(" of {} outputs", lens_source_name(lens.of));
  const std::string mode =
      fmt::format("{} lens{}, {} layers", lens_mode_name(lens.mode), of, source.config.layers);
  print(out.paint(Style::kTitle, prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size())
                                                     : printable(prompt.text)) +
        "\n" + out.paint(Style::kDim, mode) + "\n");
  for (size_t p = args.position.empty() ? lens.positions.size() - 1 : 0;
       ranks && p < lens.positions.size(); ++p) {
    std::string line =
        fmt::format("\nposition {}, after {}", lens.positions[p],
                    picture.names.shown(lens.ids[static_cast<size_t>(lens.positions[p])]));
    if (lens.watch.empty())
      line += fmt::format(": {}, {}", picture.names.shown(lens.targets[p]),
                          reason(lens, args, options, p));
    print(line + "\n" + draw_ranks(picture, p));
  }
  const LensCell cell = args.cell == "rank"          ? LensCell::kRank
                        : args.cell == "probability" ? LensCell::kProbability
                        : args.cell == "kl"          ? LensCell::kKl
                                                     : LensCell::kToken;
  if (grid) print("\n" + draw_heat(lens_heat(lens, source, cell), out));
}

void run(const Context& context, const LensArgs& args) {
  if (!args.fit.corpus.empty()) {
    if (args.translators.empty())
      user_error("missing output folder of --fit: use --translators FOLDER");
    LensFitArgs fit = args.fit;
    fit.edits = args.edits;
    return fit_lens(context, fit, args.translators);
  }
  check(args);
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model);
  LensOptions options = options_of(args, model);
  if (options.tuned) warn_of_other_model(*options.tuned, args, model);
  if (!context.json && args.show != "ranks" && args.cell == "token")
    options.top_k = std::max(options.top_k, 1);
  const Names names(model.shared_tokenizer());
  std::vector<Lens> results;
  for (const Prompt& prompt : prompts) {
    ProgressBar bar({.unit = "cells"});
    options.progress = &bar;
    results.push_back(look(model, prompt, args, options));
  }
  const PageSource source = PageSource::of(model, context.command_line);
  const auto found = described(std::span<const Lens>(results), [&](const Lens& lens) {
    return args.generate > 0 ? rankings_result(lens, source) : lens_result(lens, source);
  });
  write_results(args.output, found, source);
  if (context.json) return print_json(results_json("lens", model, found, prompts));
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (i > 0) print("\n");
    const std::vector<std::string> rows =
        site_labels(lens_sites(results[i], model.config().layers));
    draw({results[i], names, context.out, model.config().vocab, rows}, args, options, prompts[i],
         source);
  }
}

/// More is shown than the cells of the grid.
std::vector<With> beside_grid() {
  return {{"--show", {"grid"}, true},
          {"--json"},
          {"--out"},
          {"--csv"},
          {"--html"},
          {"--svg"},
          {"--png"}};
}

void add_fit_options(Command& command, LensFitArgs& args) {
  const auto group = "Tuned lens";
  command
      .add_option("--fit", args.corpus,
                  "Fit translators to this text (.txt, .jsonl; - is standard input), write them to "
                  "--translators and evaluate them")
      ->type_name("CORPUS")
      ->group(group);
  command
      .add_option("--alpha", args.alpha,
                  "Strength of the fit's penalty towards the normalized lens")
      ->capture_default_str()
      ->type_name("A")
      ->group(group)
      ->only_with("--fit");
  command.add_option("--tokens", args.tokens, "Maximum tokens of the corpus to read [all]")
      ->check(above_zero())
      ->type_name("N")
      ->group(group)
      ->only_with("--fit");
}

}  // namespace

void add_lens(Command& app, Context& context) {
  Command command =
      app.add_subcommand("lens", "Show next-token predictions decoded after each layer");
  const auto args = std::make_shared<LensArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Lens";
  command
      .add_option("--mode", args->mode,
                  "normalized: final layernorm on every layer; ecco: on the last layer only; "
                  "tuned: on translated layers [normalized, or tuned with --translators]")
      ->check(one_of({"normalized", "ecco", "tuned"}))
      ->type_name("MODE")
      ->group(group);
  command
      .add_option("--of", args->of,
                  "Vector to decode: residual (residual stream), attention or mlp (output of each "
                  "block's attention or MLP)")
      ->check(one_of({"residual", "attention", "mlp"}))
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group);
  command
      .add_option("--translators", args->translators,
                  "Folder of a tuned lens: config.json and params.safetensors or params.pt")
      ->type_name("FOLDER")
      ->group(group)
      ->not_with("--mode", {"normalized", "ecco"});
  command.add_flag("--kl", args->kl, "Compute KL(output || layer) in nats for each layer")
      ->group(group)
      ->only_with(beside_grid());
  command
      .add_option("-n,--generate", args->generate,
                  "Continue the prompt, and decode each of up to N steps")
      ->check(above_zero())
      ->type_name("N")
      ->group(group)
      ->not_with("--position")
      ->not_with("--target")
      ->not_with("--target-id");
  command
      .add_option("--temperature", args->sampling.temperature,
                  "Sampling temperature of --generate; 0: greedy")
      ->capture_default_str()
      ->type_name("T")
      ->group(group)
      ->only_with("--generate");
  command.add_option("--seed", args->sampling.seed, "Seed of --temperature")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("SEED")
      ->group(group)
      ->only_with("--generate")
      ->only_with("--temperature", {kAboveZero});
  add_token_option(command, "--target", args->target, args->target_id,
                   "Token whose rank is shown at the last position [the model's top-ranked token]; "
                   "leading spaces count: \" London\"",
                   group);
  command
      .add_option("--watch", args->watch,
                  "Tokens to compare side by side: \" is, are\" (comma-separated, spaces are kept; "
                  "\\, is a comma)")
      ->allow_extra_args(false)
      ->type_name("TOKENS")
      ->group(group)
      ->only_with(beside_grid());
  command.add_option("--watch-ids", args->watch_ids, "The same as token ids: 1,2")
      ->allow_extra_args(false)
      ->type_name("IDS")
      ->group(group)
      ->only_with(beside_grid());
  command
      .add_option("--position", args->position,
                  "Positions to decode, from 0, negative from the end: -1 or 0..3,7 [the last in "
                  "detail, all in the grid]")
      ->type_name("LIST")
      ->group(group);
  command
      .add_option(
          "--layers", args->layers,
          "Layers to decode, from 0, negative from the end, embed, logits: embed,0..3,-1 [all]")
      ->type_name("LIST")
      ->group(group);
  command.add_option("--top-k", args->top_k, "Number of most likely tokens to list per layer")
      ->check(in_range(0, 1000))
      ->capture_default_str()
      ->type_name("K")
      ->group(group)
      ->only_if("ranks without --watch, --json, --out, --csv or --html", [&context, args] {
        const bool ranks = args->show != "grid" && args->watch.empty() && args->watch_ids.empty();
        return ranks || context.json || args->output.lists_all();
      });
  command
      .add_option("--show", args->show,
                  "ranks: one position in detail; grid: layers x positions; both [both, or ranks "
                  "with --position]")
      ->check(one_of({"ranks", "grid", "both"}))
      ->type_name("WHAT")
      ->group(group)
      ->not_with("--json");
  command.add_option("--cell", args->cell, "Content of a grid cell: token, rank, probability, kl")
      ->check(one_of({"token", "rank", "probability", "kl"}))
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group)
      ->only_with({{"--show", {"grid", "both"}}, {"--position", {}, true}})
      ->not_with("--show", {"ranks"})
      ->not_with("--json");
  add_fit_options(command, args->fit);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  command.only_uses("--fit", with_model_options({"--translators", "--alpha", "--tokens"}));
  set_examples(
      command,
      "  vitrine lens --prompt \"Heathrow airport is located in the city of\" --target \" "
      "London\"\n"
      "  vitrine lens --prompt \"The keys to the cabinet\" --watch \" is, are\" --position -1");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
