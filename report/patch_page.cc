#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/packed.h"
#include "report/page.h"

namespace vitrine {
namespace {

std::string metric_in_words(const PatchMetric& metric, const TokenTable& tokens) {
  const std::string answer = tokens.shown(metric.answer);
  switch (metric.kind) {
    case PatchMetric::Kind::kLogitDifference:
      return fmt::format("logit of {} less that of {}", answer, tokens.shown(metric.wrong));
    case PatchMetric::Kind::kLogit:
      return "logit of " + answer;
    case PatchMetric::Kind::kLogProb:
      return fmt::format("log-probability of {}, in nats", answer);
    case PatchMetric::Kind::kProb:
      break;
  }
  return "probability of " + answer;
}

std::string_view column_name(PatchOver over) {
  switch (over) {
    case PatchOver::kPositions:
      return "position";
    case PatchOver::kHeads:
      return "head";
    case PatchOver::kNeurons:
      return "neuron";
    case PatchOver::kWhole:
      break;
  }
  return "all";
}

Json grid_data(const PatchGrid& grid, const PatchSubject& subject, const TokenTable& tokens) {
  Json columns = Json::array();
  for (const int64_t column : grid.columns) {
    const bool is_token = grid.over == PatchOver::kPositions && column >= 0 && column < std::ssize(subject.base);
    columns.push_back(is_token                          ? tokens.shown(subject.base[static_cast<size_t>(column)])
                      : grid.over == PatchOver::kWhole ? "all"
                                                        : std::to_string(column));
  }
  Json rows = Json::array();
  for (const int layer : grid.layers) rows.push_back(std::to_string(layer));
  Json json = {{"title", site_info(grid.site).name}, {"over", column_name(grid.over)}, {"rows", std::move(rows)},
               {"columns", std::move(columns)},      {"numbers", packed(grid.columns)}};
  if (!grid.values.empty()) json.update({{"values", packed(grid.values)}, {"effects", packed(grid.effects)}});
  if (!grid.estimates.empty()) json["estimates"] = packed(grid.estimates);
  if (const double r = grid.correlation(); std::isfinite(r)) json["correlation"] = r;
  return json;
}

/// Senders laid out as the model is: a row for each layer, heads and the MLP beside each other, embeddings in a row of their own.
Json path_data(const PathPatching& found) {
  int layers = 0, heads = 0;
  for (const PathNode& node : found.senders) {
    layers = std::max(layers, node.layer + 1);
    if (node.kind == PathNode::Kind::kHead) heads = std::max(heads, node.head + 1);
  }
  const auto columns = static_cast<size_t>(heads) + 1;
  const double none = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> values((static_cast<size_t>(layers) + 1) * columns, none), effects = values;
  Json row_names = Json::array({"embed"}), column_names = Json::array();
  for (int layer = 0; layer < layers; ++layer) row_names.push_back(std::to_string(layer));
  for (int head = 0; head < heads; ++head) column_names.push_back(fmt::format("head {}", head));
  column_names.push_back("MLP");
  for (size_t i = 0; i < found.senders.size(); ++i) {
    const PathNode& node = found.senders[i];
    const bool head = node.kind == PathNode::Kind::kHead, mlp = node.kind == PathNode::Kind::kMlp;
    const size_t row = head || mlp ? static_cast<size_t>(node.layer) + 1 : 0;
    const size_t cell = row * columns + (head ? static_cast<size_t>(node.head) : columns - 1);
    values[cell] = found.values[i];
    effects[cell] = found.effects[i];
  }
  return {{"title", "senders"}, {"over", "component"}, {"rows", row_names}, {"columns", column_names}, {"values", packed(values)}, {"effects", packed(effects)}};
}

/// What all four kinds have in common.
struct Experiment {
  std::string title, help, effect;
  std::vector<std::pair<std::string, double>> numbers;
  Json grids = Json::array();
};

std::string experiment_page(const Experiment& experiment, const PatchSubject& subject, const PageSource& source, TokenTable& tokens) {
  Json numbers = Json::array();
  for (const auto& [name, value] : experiment.numbers) numbers.push_back({{"name", name}, {"value", value}});
  Page page{.kind = "patch", .title = experiment.title, .subtitle = text_label(subject.clean, source), .help = experiment.help};
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

void add_grids(Experiment& experiment, const std::vector<PatchGrid>& grids, const PatchSubject& subject, const TokenTable& tokens) {
  for (const PatchGrid& grid : grids) experiment.grids.push_back(grid_data(grid, subject, tokens));
}

constexpr const char* kShareOfTheWay = "share of the way from the corrupt prompt's answer (0) to the clean one's (1)";

}  // namespace

std::string patching_page(const Patching& result, const PatchSubject& subject, const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Activation patching",
                        .help = "Each cell is a run with one activation taken from the other prompt's run. Blue cells carry the answer.",
                        .effect = kShareOfTheWay,
                        .numbers = {{"clean", result.clean}, {"corrupt", result.corrupt}}};
  add_grids(experiment, result.grids, subject, tokens);
  return experiment_page(experiment, subject, source, tokens);
}

std::string ablation_page(const Ablations& result, const PatchSubject& subject, const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Ablation",
                        .help = "Each cell is a run without one component. Orange: the answer loses by it; blue: it gains.",
                        .effect = "the metric without the component, less that of the whole model",
                        .numbers = {{"whole model", result.value}}};
  add_grids(experiment, result.grids, subject, tokens);
  return experiment_page(experiment, subject, source, tokens);
}

std::string trace_page(const Trace& result, const PatchSubject& subject, const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Causal trace",
                        .help = "The subject's embeddings are hidden under noise; each cell is a run with one activation put back to what it was. "
                                "Blue cells bring the answer back.",
                        .effect = "indirect effect: the metric with the state put back, less that under noise",
                        .numbers = {{"without noise", result.clean}, {"under noise", result.corrupt}, {"noise, standard deviation", result.deviation}}};
  add_grids(experiment, result.grids, subject, tokens);
  return experiment_page(experiment, subject, source, tokens);
}

std::string path_page(const PathPatching& result, const PatchSubject& subject, const PageSource& source) {
  TokenTable tokens(source.tokenizer);
  Experiment experiment{.title = "Path patching",
                        .help = "Each cell is a component whose message to the receivers alone is taken from the other prompt's run.",
                        .effect = kShareOfTheWay,
                        .numbers = {{"clean", result.clean}, {"corrupt", result.corrupt}}};
  experiment.grids.push_back(path_data(result));
  return experiment_page(experiment, subject, source, tokens);
}

}  // namespace vitrine
