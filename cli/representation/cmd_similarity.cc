// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "cli/core/analysis_command.h"
#include "cli/core/heat.h"
#include "cli/core/site_syntax.h"
#include "report/results/results.h"
#include "vitrine/analysis/similarity.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct SimilarityCommandArgs : AnalysisArgs {
  std::string measure = "cka", site = SimilarityOptions().site, against;
  double variance = SimilarityOptions().variance;
};

/// Texts longer than the context, in pieces of it.
Batch pieces_of(const std::vector<Prompt>& prompts, int64_t context) {
  Batch pieces;
  for (const Prompt& prompt : prompts) {
    for (auto at = prompt.ids.begin(); at != prompt.ids.end();) {
      const auto end = at + std::min<std::ptrdiff_t>(context, prompt.ids.end() - at);
      pieces.emplace_back(at, end);
      at = end;
    }
  }
  return pieces;
}

/// Throws Error (user) unless both models read these texts as the same ids.
void check_same_ids(const SimilarityCommandArgs& args, const std::vector<Prompt>& prompts,
                    const Model& against) {
  if (!against.shared_tokenizer()) return;  // ids are what they are
  PromptArgs again = args.prompt;
  again.hints = false;
  const std::vector<Prompt> theirs = read_prompts(again, against);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].ids == theirs[i].ids) continue;
    user_error(
        "--against {}: its tokenizer encodes prompt {} differently: expected a model with the same "
        "tokenizer",
        args.against, i);
  }
}

std::string draw(const Similarity& found, const Result& described,
                 const SimilarityCommandArgs& args, const Model& model, const Terminal& out) {
  const auto& panel = std::get<HeatPanel>(described.panels[0]);
  std::string head = fmt::format("{} of {}", panel.value_name, args.site);
  if (!args.against.empty())
    head += fmt::format(": rows {}, columns {}", model.name(), args.against);
  std::string text = out.paint(Style::kTitle, head) + "\n" + draw_heat(panel, out);
  if (!found.row_components.empty()) {
    text +=
        out.paint(Style::kDim, fmt::format("components for {:g} of the variance: {}",
                                           found.variance, fmt::join(found.row_components, " "))) +
        "\n";
  }
  return text;
}

void run(const Context& context, const SimilarityCommandArgs& args) {
  SiteArg site = parse_site(args.site);
  const AnalysisRun analysis(context, args);
  const Model& model = analysis.model();
  std::optional<Model> against;
  if (!args.against.empty()) {
    Context other = context;
    other.model = args.against;
    against = load_model(other);
  }
  const auto prompts = analysis.prompts(args.prompt);
  if (against) check_same_ids(args, prompts, *against);
  ProgressBar bar({.unit = "tokens"});
  SimilarityOptions options;
  options.measure = similarity_measure_from_name(args.measure);
  options.site = site.pattern;
  options.where = site.where;
  options.variance = args.variance;
  options.edits = parse_edits(args.edits);
  options.progress = &bar;
  const int64_t length = against ? std::min(model.config().context, against->config().context)
                                 : model.config().context;
  const Batch texts = pieces_of(prompts, length);
  const Similarity found =
      against ? similarity(model, *against, texts, options) : similarity(model, texts, options);
  bar.erase();
  const Result result = similarity_result(found, analysis.source(), against ? against->name() : "");
  analysis.show(result, [&] { return draw(found, result, args, model, context.out); });
}

void add_similarity_options(Command& command, SimilarityCommandArgs& args) {
  add_prompt_options(command, args.prompt);
  const auto group = "Similarity";
  command
      .add_option("--measure", args.measure,
                  "cka: linear centred kernel alignment (Kornblith 2019); svcca: mean canonical "
                  "correlation of the principal components (Raghu 2017)")
      ->check(one_of({"cka", "svcca"}))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(group);
  command
      .add_option("--site", args.site,
                  "Sites to compare pairwise, with an optional selection: "
                  "blocks.*.hook_resid_post[layers=0..3 positions=-1]")
      ->capture_default_str()
      ->type_name("SITE")
      ->group(group);
  command.add_option("--variance", args.variance, "Share of the variance to keep, 0..1")
      ->check(in_range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with("--measure", {"svcca"});
  command
      .add_option("--against", args.against,
                  "Second model with the same tokenizer, whose layers are the columns")
      ->type_name("MODEL")
      ->group(group);
}

}  // namespace

void add_similarity(Command& app, Context& context) {
  add_analysis(app, context,
               {"similarity",
                "Compare representations of the same tokens between layers, or between two models",
                "  vitrine similarity --text-file book.txt\n"
                "  vitrine similarity --text-file book.txt --measure svcca --model gpt2 --against "
                "gpt2-medium"},
               add_similarity_options, run);
}

}  // namespace vitrine::cli
