// SPDX-License-Identifier: MIT
#include "cli/patching/patch_args.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/common/model_output.h"
#include "analysis/patching/metric.h"
#include "base/check.h"
#include "base/quote.h"
#include "cli/core/site_syntax.h"
#include "cli/patching/pairs_file.h"

namespace vitrine::cli {
using namespace internal;
namespace {

using Mode = PatchArgs::Mode;

void add_prompts(Command& command, PatchArgs& args) {
  const auto group = "Prompts";
  add_text_option(command, "--clean", args.clean, args.clean_ids,
                  "Prompt with the correct answer; leading spaces count", group);
  add_text_option(command, "--corrupt", args.corrupt, args.corrupt_ids,
                  "Prompt of the same number of tokens with a different answer", group);
  for (const char* name : {"--corrupt", "--corrupt-ids"}) {
    command.option(name)
        ->not_with("--trace")
        ->not_with("--trace-positions")
        ->not_with("--ablate", {"zero", "mean"});
  }
  command
      .add_option(
          "--align", args.align,
          "Corresponding positions of prompts of different lengths, CLEAN:CORRUPT: 0:0,1:1,3:2")
      ->type_name("PAIRS")
      ->group(group)
      ->not_with("--ablate")
      ->not_with("--trace")
      ->not_with("--trace-positions")
      ->not_with("--paths");
}

void add_metric(Command& command, PatchArgs& args) {
  const auto group = "Metric";
  add_token_option(command, "--answer", args.answer, args.answer_id,
                   "Token of the correct answer [the model's top-ranked token after the clean "
                   "prompt]; leading spaces count: \" London\"",
                   group);
  add_token_option(command, "--wrong", args.wrong, args.wrong_id,
                   "Token of the wrong answer, for comparison", group);
  command
      .add_option("--metric", args.metric,
                  "Metric: logit-difference, logit, log-prob, prob [logit-difference with --wrong, "
                  "prob with --trace, else logit]")
      ->check(one_of({"logit-difference", "logit", "log-prob", "prob"}))
      ->type_name("METRIC")
      ->group(group);
  command
      .add_option("--position", args.position,
                  "Position whose next token is the answer, from 0, negative from the end")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
}

void add_cells(Command& command, PatchArgs& args) {
  const auto group = "Replaced activations";
  command
      .add_option("--sweep", args.sweep,
                  "Sites, one grid per site: resid_pre, resid_mid, resid_post, attn_out, mlp_out, "
                  "mlp_pre, mlp_post, q, k, v, z, "
                  "result, pattern, ...; "
                  "or heads (z by head), mlps (mlp_out at all positions), neurons (mlp_post by "
                  "neuron) [resid_pre; resid_post "
                  "to trace, heads to ablate]")
      ->type_name("SITES")
      ->group(group)
      ->not_with("--paths");
  command
      .add_option("--over", args.over,
                  "Columns of the grids: positions, heads, neurons, whole [positions]")
      ->check(one_of({"positions", "heads", "neurons", "whole"}))
      ->type_name("WHAT")
      ->group(group)
      ->not_with("--paths");
  command
      .add_option("--layers", args.layers, "Layers, from 0, negative from the last: 0..3,-1 [all]")
      ->type_name("LIST")
      ->group(group)
      ->not_with("--paths");
  command
      .add_option("--positions", args.positions,
                  "Positions: columns, or where a head or neuron is replaced [all]")
      ->type_name("LIST")
      ->group(group);
  command.add_option("--heads", args.heads, "Heads [all]")
      ->type_name("LIST")
      ->group(group)
      ->not_with("--paths");
  command.add_option("--neurons", args.neurons, "Neurons [all]")
      ->type_name("LIST")
      ->group(group)
      ->not_with("--paths");
  command.add_option("--window", args.window, "Number of layers that a cell replaces together")
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--paths");
}

void add_modes(Command& command, PatchArgs& args) {
  const auto group = "How";
  command
      .add_flag("--noising", args.noising,
                "Patch corrupt activations into the clean run, instead of clean ones into the "
                "corrupt run")
      ->group(group)
      ->not_with("--ablate")
      ->not_with("--trace")
      ->not_with("--trace-positions");
  command
      .add_flag("--attribution", args.attribution,
                "Estimate all cells with one backward pass instead of running them")
      ->group(group)
      ->not_with("--ablate")
      ->not_with("--trace")
      ->not_with("--trace-positions")
      ->not_with("--paths");
  command.add_flag("--compare", args.compare, "Run the cells and estimate them as well")
      ->group(group)
      ->not_with("--attribution")
      ->not_with("--ablate")
      ->not_with("--trace")
      ->not_with("--trace-positions")
      ->not_with("--paths");
  command
      .add_option("--ablate", args.ablate,
                  "Ablate components of the clean prompt: zero, mean (over --others), resample "
                  "(the corrupt prompt's values)")
      ->check(one_of({"zero", "mean", "resample"}))
      ->type_name("HOW")
      ->group(group);
  command.add_option("--others", args.others, "Prompt for the mean; repeatable")
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(group)
      ->only_with("--ablate", {"mean"});
  command.add_option("--others-file", args.others_file, "File of such prompts, one per line")
      ->type_name("FILE")
      ->group(group)
      ->only_with("--ablate", {"mean"});
  command
      .add_option("--trace", args.trace,
                  "Causal tracing: part of the clean prompt to corrupt by noise; one state at a "
                  "time is restored")
      ->type_name("TEXT")
      ->group(group)
      ->not_with("--ablate");
  command.add_option("--trace-positions", args.trace_positions, "The same as positions: 1..3")
      ->type_name("LIST")
      ->group(group)
      ->not_with("--trace")
      ->not_with("--ablate");
  command.add_option("--draws", args.draws, "Number of noise draws")
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with({{"--trace"}, {"--trace-positions"}});
  command
      .add_option("--noise", args.noise,
                  "Standard deviation of the noise, in multiples of that of the prompt's "
                  "embeddings")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with({{"--trace"}, {"--trace-positions"}});
  command.add_option("--seed", args.seed, "Seed of the noise")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with({{"--trace"}, {"--trace-positions"}});
  command
      .add_option("--paths", args.receivers,
                  "Path patching: receivers, comma-separated: final, q L.H, k L.H, v L.H, mlp L")
      ->type_name("NODES")
      ->group(group)
      ->not_with("--ablate")
      ->not_with("--trace")
      ->not_with("--trace-positions");
  command
      .add_option("--senders", args.senders,
                  "Senders, comma-separated: embed, head L.H, mlp L [all]")
      ->type_name("NODES")
      ->group(group)
      ->only_with("--paths");
  command.add_flag("--through-mlps", args.through_mlps, "Include paths through the MLPs between")
      ->group(group)
      ->only_with("--paths");
}

Where where_of(const std::string& name, const std::string& list) {
  return list.empty() ? Where() : parse_site("[" + name + "=" + list + "]").where;
}

Prompt read_one(const std::string& text, const std::string& ids, const Model& model,
                std::string_view what) {
  if (text.empty() && ids.empty())
    user_error("missing {0} prompt: expected --{0} TEXT or --{0}-ids IDS", what);
  PromptArgs args{.prompt_option = fmt::format("--{}", what),
                  .ids_option = fmt::format("--{}-ids", what)};
  if (ids.empty())
    args.prompts = {text};
  else
    args.ids = {ids};
  return read_prompts(args, model).front();
}

PatchMetric metric_of(const PatchArgs& args, const PatchRequest& request, const Model& model) {
  PatchMetric metric;
  const auto wrong = token_from(args.wrong, args.wrong_id, model);
  const bool compares = wrong || have_wrong_answers(request.pairs);
  const std::string name = !args.metric.empty()          ? args.metric
                           : compares                    ? "logit-difference"
                           : args.mode() == Mode::kTrace ? "prob"
                                                         : "logit";
  metric.kind = patch_metric_from_name(name);
  if (!request.pairs.empty()) return {.kind = metric.kind, .answer = {}, .wrong = {}};
  const bool difference = metric.kind == PatchMetric::Kind::kLogitDifference;
  if (difference && !wrong)
    user_error("missing --wrong TOKEN: the metric logit-difference compares two tokens");
  if (!difference && wrong)
    user_error("--wrong cannot be used with the metric {}: leave it out, or use logit-difference",
               name);
  const auto answer = token_from(args.answer, args.answer_id, model);
  metric.answer =
      answer ? *answer
             : next_token(model, read_up_to(request.clean.ids, args.position, "clean prompt"),
                          request.edits);
  metric.wrong = wrong.value_or(0);
  return metric;
}

/// A site as --sweep writes it: "resid_pre", "z", "mlp_post".
std::string sweep_name(Site site) {
  std::string name(site_info(site).name);
  if (name.starts_with("attn.")) name.erase(0, 5);
  if (const size_t hook = name.find("hook_"); hook != std::string::npos) name.erase(hook, 5);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

Site site_from(const std::string& name) {
  std::vector<std::string> known;
  for (const SiteInfo& info : kSites) {
    if (!info.per_layer) continue;
    known.push_back(sweep_name(info.site));
    if (name == known.back() || name == info.name) return info.site;
  }
  user_error("cannot sweep {}: expected one of {}, heads, mlps or neurons", quote(name),
             fmt::join(known, ", "));
}

PatchOver over_from(const std::string& name) {
  return name == "heads"     ? PatchOver::kHeads
         : name == "neurons" ? PatchOver::kNeurons
         : name == "whole"   ? PatchOver::kWhole
                             : PatchOver::kPositions;
}

/// --sweep, with its three words that say two things.
void read_sweep(const PatchArgs& args, PatchCells& cells) {
  cells.sites.clear();
  std::string over = args.over;
  const std::string sweep = args.sweep.empty() ? (args.mode() == Mode::kTrace    ? "resid_post"
                                                  : args.mode() == Mode::kAblate ? "heads"
                                                                                 : "resid_pre")
                                               : args.sweep;
  for (const std::string& name : split_list(sweep)) {
    const bool word = name == "heads" || name == "mlps" || name == "neurons";
    const std::string implied = name == "mlps" ? "whole" : name;
    if (word && !over.empty() && over != implied)
      user_error("--sweep {} is over {}, which cannot be combined with {}: run them separately",
                 name, implied, over);
    if (word) over = implied;
    cells.sites.push_back(name == "heads"     ? Site::kZ
                          : name == "mlps"    ? Site::kMlpOut
                          : name == "neurons" ? Site::kMlpPost
                                              : site_from(name));
  }
  cells.over = over_from(over);
}

std::vector<std::pair<int64_t, int64_t>> alignment_of(const std::string& text) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const std::string& item : split_list(text)) {
    const size_t colon = item.find(':');
    const auto ids = colon == std::string::npos
                         ? std::vector<int32_t>()
                         : parse_ids(item.substr(0, colon) + "," + item.substr(colon + 1));
    if (ids.size() != 2)
      user_error("invalid pair of positions {}: expected CLEAN:CORRUPT, such as 3:2", quote(item));
    pairs.emplace_back(ids[0], ids[1]);
  }
  return pairs;
}

std::vector<PathNode> nodes_of(const std::string& text) {
  std::vector<PathNode> nodes;
  for (const std::string& item : split_list(text))
    nodes.push_back(PathNode::parse(item.starts_with(' ') ? item.substr(1) : item));
  return nodes;
}

/// The tokens of the prompt that hold a part of the text, where it first stands.
std::vector<int64_t> positions_of(const std::string& text, const Prompt& prompt,
                                  const Model& model) {
  const size_t begin = prompt.text.find(text);
  if (begin == std::string::npos)
    user_error(
        "{} does not occur in the clean prompt: expected a part of it; or use --trace-positions",
        quote(text));
  std::vector<int64_t> positions;
  const auto pieces = model.encode_with_spans(prompt.text);
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].end > begin && pieces[i].begin < begin + text.size())
      positions.push_back(static_cast<int64_t>(i));
  }
  return positions;
}

}  // namespace

Mode PatchArgs::mode() const {
  if (!ablate.empty()) return Mode::kAblate;
  if (!trace.empty() || !trace_positions.empty()) return Mode::kTrace;
  return receivers.empty() ? Mode::kPatch : Mode::kPaths;
}

void add_patch_options(Command& command, PatchArgs& args) {
  add_prompts(command, args);
  add_metric(command, args);
  add_cells(command, args);
  add_modes(command, args);
  add_pairs_option(command, args.pairs);
  for (const char* name :
       {"--clean", "--clean-ids", "--corrupt", "--corrupt-ids", "--answer", "--answer-id",
        "--wrong", "--wrong-id", "--ablate", "--trace", "--trace-positions"})
    command.option(name)->not_with("--pairs");
  add_edit_option(command, args.edits);
  command
      .add_option("--top", args.top, "Number of cells or senders to list, largest effects first")
      ->capture_default_str()
      ->type_name("N")
      ->group("Output")
      ->only_with({{"--sweep", {"neurons*"}}, {"--over", {"neurons"}}, {"--paths"}})
      ->not_with("--json");
  add_result_options(command, args.output);
}

PatchRequest patch_request(const PatchArgs& args, const Model& model) {
  PatchRequest request;
  request.edits = parse_edits(args.edits);
  const Mode mode = args.mode();
  const bool two = mode == Mode::kPatch || mode == Mode::kPaths || args.ablate == "resample";
  if (args.pairs.empty()) {
    request.clean = read_one(args.clean, args.clean_ids, model, "clean");
    if (two) request.corrupt = read_one(args.corrupt, args.corrupt_ids, model, "corrupt");
  } else {
    request.pairs = read_pairs(args.pairs, model);
  }
  request.metric = metric_of(args, request, model);
  read_sweep(args, request.cells);
  request.cells.layers = where_of("layers", args.layers).layers;
  request.cells.positions = where_of("positions", args.positions).positions;
  request.cells.heads = where_of("heads", args.heads).heads;
  request.cells.neurons = where_of("neurons", args.neurons).neurons;
  request.cells.window = args.window;
  return request;
}

PatchOptions patch_options(const PatchArgs& args, const PatchRequest& request) {
  PatchOptions options{
      .metric = request.metric,
      .direction = args.noising ? PatchDirection::kNoise : PatchDirection::kDenoise,
      .cells = request.cells};
  if (!args.align.empty()) options.alignment = alignment_of(args.align);
  options.position = args.position;
  options.edits = request.edits;
  options.exact = !args.attribution;
  options.attribution = args.attribution || args.compare;
  return options;
}

AblationOptions ablation_options(const PatchArgs& args, const PatchRequest& request,
                                 const Model& model) {
  AblationOptions options{.ablation = ablation_from_name(args.ablate),
                          .metric = request.metric,
                          .cells = request.cells,
                          .position = args.position,
                          .edits = request.edits};
  if (options.ablation == Ablation::kResample) options.others = {request.corrupt.ids};
  if (args.others.empty() && args.others_file.empty()) return options;
  PromptArgs others{.prompt_option = "--others", .ids_option = "--others-file FILE.jsonl with ids"};
  others.prompts = args.others;
  others.prompt_file = args.others_file;
  const Batch more = ids_of(read_prompts(others, model));
  options.others.insert(options.others.end(), more.begin(), more.end());
  return options;
}

TraceOptions trace_options(const PatchArgs& args, const PatchRequest& request, const Model& model) {
  TraceOptions options{.metric = request.metric,
                       .draws = args.draws,
                       .noise = args.noise,
                       .seed = args.seed,
                       .cells = request.cells,
                       .position = args.position,
                       .edits = request.edits};
  options.subject = args.trace.empty() ? where_of("positions", args.trace_positions).positions
                                       : positions_of(args.trace, request.clean, model);
  return options;
}

PathOptions path_options(const PatchArgs& args, const PatchRequest& request) {
  PathOptions options{
      .metric = request.metric,
      .direction = args.noising ? PatchDirection::kNoise : PatchDirection::kDenoise};
  options.receivers = nodes_of(args.receivers);
  const bool only_final = std::ranges::all_of(options.receivers, [](const PathNode& node) {
    return node.kind == PathNode::Kind::kFinalResidual;
  });
  if (only_final && !request.cells.positions.empty())
    user_error(
        "--positions has no effect on the receiver final, which is read where --position says: "
        "leave it out, or name a receiver such as mlp 1");
  if (!args.senders.empty()) options.senders = nodes_of(args.senders);
  options.receiver_positions = request.cells.positions;
  options.through_mlps = args.through_mlps;
  options.position = args.position;
  options.edits = request.edits;
  return options;
}

}  // namespace vitrine::cli
