// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "cli/attention/attention_view.h"
#include "cli/core/analysis_command.h"
#include "cli/core/site_syntax.h"
#include "report/results/results.h"
#include "vitrine/analysis/attention.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct AttentionCommandArgs : AnalysisArgs {
  std::string mode = "maps", layers, heads, position;
  double max_work = AttentionFlowOptions().max_work;
  int sequences = RepetitionOptions().sequences, bos_id = -1;
  int64_t length = 0;
  uint64_t seed = 0;
  bool no_bos = false;
};

Indices<int> layers_of(const AttentionCommandArgs& args) {
  return parse_indices<int>("--layers", args.layers);
}

Indices<int> heads_of(const AttentionCommandArgs& args) {
  return parse_indices<int>("--heads", args.heads);
}

/// A network is drawn from each position; the other modes begin with what predicts the next token.
Indices<int64_t> queries_of(const AttentionCommandArgs& args) {
  if (args.position.empty() && args.mode != "flow") return {-1};
  return parse_indices<int64_t>("--position", args.position == "all" ? "" : args.position);
}

AttentionRelevance flow_of(const Model& model, const Prompt& prompt,
                           const AttentionCommandArgs& args, Progress* progress) {
  AttentionFlowOptions options{.queries = queries_of(args),
                               .edits = parse_edits(args.edits),
                               .max_work = args.max_work,
                               .progress = progress};
  if (!args.layers.empty()) options.layers = layers_of(args);
  return attention_flow(model, prompt.ids, options);
}

/// Maps, rollout or flow of one text.
Result result_of(const AnalysisRun& analysis, const Prompt& prompt,
                 const AttentionCommandArgs& args, Progress* progress) {
  const Model& model = analysis.model();
  if (args.mode == "flow")
    return relevance_result(flow_of(model, prompt, args, progress), args.mode, analysis.source());
  const Hooks edits = parse_edits(args.edits);
  if (args.mode == "maps") {
    return maps_result(attention(model, prompt.ids,
                                 {.layers = layers_of(args),
                                  .heads = heads_of(args),
                                  .queries = queries_of(args),
                                  .edits = edits}),
                       analysis.source());
  }
  return relevance_result(attention_rollout(model, prompt.ids,
                                            {.layers = layers_of(args),
                                             .queries = queries_of(args),
                                             .edits = edits,
                                             .progress = progress}),
                          args.mode, analysis.source());
}

/// What the terminal shows of a text.
std::string draw(const Prompt& prompt, const Result& result, const AttentionCommandArgs& args,
                 const Terminal& out) {
  const std::string name =
      prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size()) : printable(prompt.text);
  const JsonValue* caution = result.shown.find("caution");
  return out.paint(Style::kTitle, name) + "\n" +
         out.paint(Style::kDim, args.mode == "maps" ? "attention" : "attention " + args.mode) +
         "\n" + (caution ? out.paint(Style::kDim, caution->text()) + "\n" : "") +
         draw_queries(result, out);
}

/// Statistics of heads, of all texts together.
void run_heads(const Context& context, const AnalysisRun& analysis,
               const std::vector<Prompt>& prompts, const AttentionCommandArgs& args) {
  ProgressBar bar({.unit = ""});
  const Hooks edits = parse_edits(args.edits);
  const auto found = head_statistics(
      analysis.model(), ids_of(prompts),
      {.layers = layers_of(args), .heads = heads_of(args), .edits = edits, .progress = &bar});
  RepetitionOptions options{.layers = found.layers,
                            .heads = found.heads,
                            .sequences = args.sequences,
                            .length = args.length};
  if (args.no_bos || args.bos_id >= 0) options.bos = args.bos_id;
  options.seed = args.seed;
  options.edits = edits;
  options.progress = &bar;
  const auto scores = repetition_scores(analysis.model(), options);
  bar.erase();
  Result result = heads_result(&found, &scores, analysis.source());
  result.facts["repetition"]["seed"] = args.seed;
  analysis.show(result, [&] { return draw_heads(found, scores, context.out); });
}

void run(const Context& context, const AttentionCommandArgs& args) {
  const AnalysisRun analysis(context, args);
  const auto prompts = analysis.prompts(args.prompt);
  if (args.mode == "heads") return run_heads(context, analysis, prompts, args);
  const auto results = analysis.each(prompts, args.mode == "flow" ? "edges" : "",
                                     [&](const Prompt& prompt, Progress* progress) {
                                       return result_of(analysis, prompt, args, progress);
                                     });
  analysis.show(results, prompts,
                [&](size_t i) { return draw(prompts[i], results[i], args, context.out); });
}

void add_attention_options(Command& command, AttentionCommandArgs& args) {
  add_prompt_options(command, args.prompt);
  const auto group = "Attention";
  command
      .add_option("--mode", args.mode,
                  "maps: maps of single heads; rollout, flow: their composition over the layers "
                  "(Abnar & Zuidema 2020; published for encoders, causal maps are an extension); "
                  "heads: statistics of each head on the text, and on repeated random tokens")
      ->check(one_of({"maps", "rollout", "flow", "heads"}))
      ->capture_default_str()
      ->type_name("MODE")
      ->group(group);
  command.add_option("--layers", args.layers, "Blocks, from 0: 0..3,-1 [all; flow: the last]")
      ->type_name("LIST")
      ->group(group);
  command.add_option("--heads", args.heads, "Heads: 0,5 [all]")
      ->type_name("LIST")
      ->group(group)
      ->only_with("--mode", {"maps", "heads"});
  command
      .add_option("--position", args.position,
                  "Query positions, negative from the end: -1 or 0..3,7, or all (for flow at a "
                  "cost of T^4) [-1; flow: all]")
      ->type_name("LIST")
      ->group(group)
      ->only_with("--mode", {"maps", "rollout", "flow"});
  command
      .add_option("--max-work", args.max_work, "Maximum number of edges of all networks together")
      ->check(above_zero())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--mode", {"flow"});
  command
      .add_option("--sequences", args.sequences,
                  "Number of random sequences for the duplicate-token and induction scores")
      ->check(in_range(1, 100000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command
      .add_option("--length", args.length,
                  "Number of random tokens that are repeated [50, or fewer in a short context]")
      ->check(above_zero())
      ->type_name("N")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command.add_option("--seed", args.seed, "Seed of the random tokens")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("SEED")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command
      .add_option("--bos-id", args.bos_id, "Id of the token before the random ones [end of text]")
      ->check(not_negative())
      ->type_name("ID")
      ->group(group)
      ->only_with("--mode", {"heads"});
  command.add_flag("--no-bos", args.no_bos, "No token before the random ones")
      ->group(group)
      ->only_with("--mode", {"heads"})
      ->not_with("--bos-id");
}

}  // namespace

void add_attention(Command& app, Context& context) {
  const Command command =
      add_analysis(app, context,
                   {"attention", "Show attention: maps, rollout, flow and head statistics",
                    "  vitrine attention --prompt \"The keys to the cabinet\" --mode rollout\n"
                    "  vitrine attention --prompt \"Heathrow airport is located in the city of\" "
                    "--layers 4 --heads 0,1 --position all"},
                   add_attention_options, run);
  for (const char* name : {"--tokenizer", "--bos"})
    command.option(name)->not_with("--mode", {"heads"});
}

}  // namespace vitrine::cli
