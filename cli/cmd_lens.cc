#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/progress.h"
#include "cli/context.h"
#include "cli/hook_args.h"
#include "cli/lens_view.h"
#include "cli/tokens.h"
#include "vitrine/lens.h"

namespace vitrine::cli {
namespace {

struct LensArgs {
  PromptArgs prompt;
  std::string mode = "normalized", position, layers, target, show, cell = "token";
  std::vector<std::string> watch, watch_ids, edits;
  int target_id = -1, top_k = 5;
};

int32_t token_of(const Model& model, const std::string& text) { return model.tokenizer().single_token(text); }

LensOptions options_of(const LensArgs& args, const Model& model) {
  LensOptions options;
  options.mode = lens_mode_from_name(args.mode);
  options.top_k = args.top_k;
  for (const std::string& list : args.watch) {
    for (const std::string& text : split_list(list)) options.watch.push_back(token_of(model, text));
  }
  for (const std::string& list : args.watch_ids) {
    for (const int32_t id : parse_ids(list)) options.watch.push_back(id);
  }
  if (!args.position.empty()) options.positions = parse_site("[positions=" + args.position + "]").where.positions;
  if (!args.layers.empty()) options.layers = parse_site("[layers=" + args.layers + "]").where.layers;
  if (!args.target.empty()) options.target = token_of(model, args.target);
  if (args.target_id >= 0) options.target = args.target_id;
  options.edits = parse_edits(args.edits);
  return options;
}

Json looked_up(int64_t rank, double log_prob) {
  return {{"rank", rank}, {"probability", std::exp(log_prob)}, {"log_probability", log_prob}};
}

Json cell_json(const Lens& lens, const Names& names, size_t row, size_t p) {
  const size_t cell = lens.cell(row, p), k = static_cast<size_t>(lens.top_k), watched = lens.watch.size();
  Json json = {{"layer", lens.layers[row]}, {"position", lens.positions[p]}, {"entropy", lens.entropies[cell]}};
  json["target"] = looked_up(lens.target_ranks[cell], lens.target_log_probs[cell]);
  json["top"] = Json::array();
  for (size_t i = cell * k; i < (cell + 1) * k; ++i) {
    Json token = names.json(lens.top_ids[i]);
    token["probability"] = std::exp(lens.top_log_probs[i]);
    token["log_probability"] = lens.top_log_probs[i];
    json["top"].push_back(std::move(token));
  }
  json["watch"] = Json::array();
  for (size_t i = cell * watched; i < (cell + 1) * watched; ++i) json["watch"].push_back(looked_up(lens.watch_ranks[i], lens.watch_log_probs[i]));
  return json;
}

Json lens_json(const Lens& lens, const Names& names, const Prompt& prompt) {
  Json json = {{"mode", lens_mode_name(lens.mode)}, {"layers", lens.layers}};
  add_text(json["prompt"], prompt.text);
  json["prompt"]["tokens"] = names.json(lens.ids);
  json["watch"] = names.json(lens.watch);
  for (size_t p = 0; p < lens.positions.size(); ++p) {
    json["positions"].push_back({{"position", lens.positions[p]},
                                 {"token", names.json(lens.ids[static_cast<size_t>(lens.positions[p])])},
                                 {"target", names.json(lens.targets[p])}});
  }
  for (size_t row = 0; row < lens.rows(); ++row) {
    for (size_t p = 0; p < lens.positions.size(); ++p) json["cells"].push_back(cell_json(lens, names, row, p));
  }
  return json;
}

/// Why this token is the target of this position.
std::string reason(const Lens& lens, const LensOptions& options, size_t p) {
  if (lens.positions[p] + 1 < static_cast<int64_t>(lens.ids.size())) return "which follows in the text";
  return options.target ? "as asked" : "the model's own choice";
}

void draw(const LensPicture& picture, const LensArgs& args, const LensOptions& options, const Prompt& prompt) {
  const Lens& lens = picture.lens;
  const Terminal& out = picture.out;
  const bool grid = args.show == "grid" || args.show == "both" || (args.show.empty() && args.position.empty() && lens.ids.size() > 1);
  const bool ranks = args.show != "grid";
  const std::string mode = fmt::format("{} lens, {} layers", lens_mode_name(lens.mode), picture.layers);
  print(out.paint(Style::kTitle, prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size()) : printable(prompt.text)) + "\n" +
        out.paint(Style::kDim, mode) + "\n");
  for (size_t p = args.position.empty() ? lens.positions.size() - 1 : 0; ranks && p < lens.positions.size(); ++p) {
    std::string line = fmt::format("\nposition {}, after {}", lens.positions[p],
                                   picture.names.shown(lens.ids[static_cast<size_t>(lens.positions[p])]));
    if (lens.watch.empty()) line += fmt::format(": {}, {}", picture.names.shown(lens.targets[p]), reason(lens, options, p));
    print(line + "\n" + draw_ranks(picture, p));
  }
  const LensCell cell = args.cell == "rank" ? LensCell::kRank : args.cell == "probability" ? LensCell::kProbability : LensCell::kToken;
  if (grid) print("\n" + draw_grid(picture, cell));
}

void run(const Context& context, const LensArgs& args) {
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model.shared_tokenizer(), model.name());
  LensOptions options = options_of(args, model);
  if (!context.json && args.show != "ranks" && args.cell == "token") options.top_k = std::max(options.top_k, 1);
  const Names names(model.shared_tokenizer());
  Json json = json_head("lens", model);
  for (size_t i = 0; i < prompts.size(); ++i) {
    ProgressBar bar({.unit = "cells"});
    options.progress = &bar;
    const Lens result = lens(model, prompts[i].ids, options);
    bar.erase();
    if (context.json) {
      json["results"].push_back(lens_json(result, names, prompts[i]));
      continue;
    }
    if (i > 0) print("\n");
    draw({result, names, context.out, model.config().vocab, model.config().layers}, args, options, prompts[i]);
  }
  if (context.json) print_json(json);
}

}  // namespace

void add_lens(CLI::App& app, Context& context) {
  CLI::App& command = *app.add_subcommand("lens", "Show what the model would say next if it stopped after each layer");
  const auto args = std::make_shared<LensArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Lens";
  command.add_option("--mode", args->mode, "normalized: every layer through the final layernorm; ecco: only the last one")
      ->check(CLI::IsMember({"normalized", "ecco"}))->capture_default_str()->type_name("MODE")->group(group);
  add_token_option(command, "--target", args->target, args->target_id,
                   "The token whose rank is shown at the last position [the model's own choice]; leading spaces count: \" London\"", group);
  command.add_option("--watch", args->watch, "Tokens to compare side by side: \" is, are\" (a comma separates, spaces are kept; \\, is a comma)")
      ->allow_extra_args(false)->type_name("TOKENS")->group(group);
  command.add_option("--watch-ids", args->watch_ids, "The same by id: 1,2")->allow_extra_args(false)->type_name("IDS")->group(group);
  command.add_option("--position", args->position, "Positions to look at, from 0, negative from the end: -1 or 0..3,7 [the last in detail, all in the grid]")
      ->type_name("LIST")->group(group);
  command.add_option("--layers", args->layers, "Layers to look at, 0 being the embeddings: 0..3,-1 [all]")->type_name("LIST")->group(group);
  command.add_option("--top-k", args->top_k, "Likeliest tokens to list of each layer")->check(CLI::Range(0, 1000))->capture_default_str()->type_name("K")->group(group);
  command.add_option("--show", args->show, "ranks: one position in detail; grid: layers by positions; both [both, or ranks with --position]")
      ->check(CLI::IsMember({"ranks", "grid", "both"}))->type_name("WHAT")->group(group);
  command.add_option("--cell", args->cell, "What a cell of the grid shows: token, rank, probability")
      ->check(CLI::IsMember({"token", "rank", "probability"}))->capture_default_str()->type_name("WHAT")->group(group);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  set_examples(command,
               "  vitrine lens --prompt \"Heathrow airport is located in the city of\" --target \" London\"\n"
               "  vitrine lens --prompt \"The keys to the cabinet\" --watch \" is, are\" --position -1");
  command.callback([&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
