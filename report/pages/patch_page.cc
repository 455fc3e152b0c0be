// SPDX-License-Identifier: MIT
#include <cmath>

#include "report/packed.h"
#include "report/page.h"
#include "report/pages/patch_layout.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine {
using namespace internal;
namespace {

JsonValue layout_data(const PatchLayout& layout) {
  return {{"title", layout.title},
          {"over", layout.over},
          {"rows", layout.rows},
          {"columns", layout.columns}};
}

JsonValue grid_data(const PatchGrid& grid, const PatchSubject& subject, const TokenTable& tokens) {
  JsonValue json = layout_data(patch_layout(grid, subject, tokens));
  json["numbers"] = packed(grid.columns);
  if (!grid.values.empty())
    json.update({{"values", packed(grid.values)}, {"effects", packed(grid.effects)}});
  if (!grid.estimates.empty()) json["estimates"] = packed(grid.estimates);
  if (const double r = grid.correlation(); std::isfinite(r)) json["correlation"] = r;
  return json;
}

JsonValue path_data(const PathPatching& found) {
  const PathLayout layout = path_layout(found);
  JsonValue json = layout_data(layout.axes);
  json.update({{"values", packed(layout.values)}, {"effects", packed(layout.effects)}});
  return json;
}

/// What all four kinds have in common.
struct Experiment {
  std::string title, help, effect;
  std::vector<std::pair<std::string, double>> numbers;
  JsonValue grids = JsonValue::array();
};

std::string experiment_page(const Experiment& experiment, const PatchSubject& subject,
                            const PageSource& source, TokenTable& tokens) {
  JsonValue numbers = JsonValue::array();
  for (const auto& [name, value] : experiment.numbers)
    numbers.push_back({{"name", name}, {"value", value}});
  Page page{.kind = "patch",
            .title = experiment.title,
            .subtitle = text_label(subject.clean, source),
            .help = experiment.help};
  page.results.push_back({{"label", page.subtitle},
                          {"metric", metric_in_words(subject.metric, tokens)},
                          {"effect", experiment.effect},
                          {"note", subject.note},
                          {"clean", tokens.places(subject.clean)},
                          {"corrupt", tokens.places(subject.corrupt)},
                          {"figures", std::move(numbers)},
                          {"grids", experiment.grids}});
  return render(page, tokens, source);
}

void add_grids(Experiment& experiment, const std::vector<PatchGrid>& grids,
               const PatchSubject& subject, const TokenTable& tokens) {
  for (const PatchGrid& grid : grids) experiment.grids.push_back(grid_data(grid, subject, tokens));
}

constexpr const char* kShareOfTheWay =
    "share of the way from the corrupt prompt's answer (0) to the clean one's (1)";

}  // namespace

std::string patching_page(const Patching& result, const PatchSubject& subject,
                          const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Activation patching",
                        .help =
                            "Each cell is a run with one activation taken from the other prompt's "
                            "run. Blue cells carry the answer.",
                        .effect = kShareOfTheWay,
                        .numbers = {{"clean", result.clean}, {"corrupt", result.corrupt}}};
  add_grids(experiment, result.grids, subject, tokens);
  return experiment_page(experiment, subject, source, tokens);
}

std::string ablation_page(const Ablations& result, const PatchSubject& subject,
                          const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Ablation",
                        .help =
                            "Each cell is a run without one component. Orange: the answer loses by "
                            "it; blue: it gains.",
                        .effect = "the metric without the component, less that of the whole model",
                        .numbers = {{"whole model", result.value}}};
  add_grids(experiment, result.grids, subject, tokens);
  return experiment_page(experiment, subject, source, tokens);
}

std::string trace_page(const Trace& result, const PatchSubject& subject, const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{
      .title = "Causal trace",
      .help =
          "The subject's embeddings are hidden under noise; each cell is a run with one activation "
          "put back to what it was. "
          "Blue cells bring the answer back.",
      .effect = "indirect effect: the metric with the state put back, less that under noise",
      .numbers = {{"without noise", result.clean},
                  {"under noise", result.corrupt},
                  {"noise, standard deviation", result.deviation}}};
  add_grids(experiment, result.grids, subject, tokens);
  return experiment_page(experiment, subject, source, tokens);
}

std::string path_page(const PathPatching& result, const PatchSubject& subject,
                      const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Path patching",
                        .help =
                            "Each cell is a component whose message to the receivers alone is "
                            "taken from the other prompt's run.",
                        .effect = kShareOfTheWay,
                        .numbers = {{"clean", result.clean}, {"corrupt", result.corrupt}}};
  experiment.grids.push_back(path_data(result));
  return experiment_page(experiment, subject, source, tokens);
}

}  // namespace vitrine
