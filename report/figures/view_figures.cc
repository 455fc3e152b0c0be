// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <cmath>
#include <limits>

#include "base/check.h"
#include "report/figures/figure.h"
#include "report/page.h"
#include "report/token_table.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMostMaps = 48;        // panels of one figure
constexpr size_t kMostVariables = 512;  // more are narrower than a hair

std::vector<std::string> shown(std::span<const int32_t> ids, const TokenTable& tokens) {
  std::vector<std::string> texts;
  for (const int32_t id : ids) texts.push_back(tokens.shown(id));
  return texts;
}

/// Queries by keys; what a query cannot see is empty.
HeatPanel map_panel(const std::string& title, std::span<const int32_t> ids,
                    std::span<const int64_t> queries, const TokenTable& tokens,
                    const std::string& what) {
  HeatPanel panel{.title = title,
                  .row_name = "query",
                  .column_name = {},
                  .value_name = what,
                  .rows = {},
                  .columns = shown(ids, tokens),
                  .values = {}};
  for (const int64_t query : queries)
    panel.rows.push_back(tokens.shown(ids[static_cast<size_t>(query)]));
  return panel;
}

template <typename T>
void add_row(HeatPanel& panel, std::span<const T> row, int64_t query) {
  for (size_t key = 0; key < row.size(); ++key) {
    panel.values.push_back(key <= static_cast<size_t>(query)
                               ? static_cast<double>(row[key])
                               : std::numeric_limits<double>::quiet_NaN());
  }
}

void add_maps(std::vector<Panel>& panels, const AttentionMaps& maps, const TokenTable& tokens) {
  for (size_t layer = 0; layer < maps.layers.size(); ++layer) {
    for (size_t head = 0; head < maps.heads.size(); ++head) {
      HeatPanel panel = map_panel(fmt::format("head {}.{}", maps.layers[layer], maps.heads[head]),
                                  maps.ids, maps.queries, tokens, "attention");
      for (size_t query = 0; query < maps.queries.size(); ++query)
        add_row(panel, maps.row(layer, head, query), maps.queries[query]);
      panels.emplace_back(std::move(panel));
    }
  }
}

void add_relevance(std::vector<Panel>& panels, const AttentionRelevance& found,
                   const std::string& what, const TokenTable& tokens) {
  for (size_t layer = 0; layer < found.layers.size(); ++layer) {
    HeatPanel panel = map_panel(fmt::format("attention {} to layer {}", what, found.layers[layer]),
                                found.ids, found.queries, tokens, what);
    for (size_t query = 0; query < found.queries.size(); ++query)
      add_row(panel, found.row(layer, query), found.queries[query]);
    panels.emplace_back(std::move(panel));
  }
}

/// One statistic, layers by heads.
template <typename Found>
void add_habit(std::vector<Panel>& panels, const Found& found, const std::string& name,
               const std::vector<double>& values) {
  HeatPanel panel{.title = name,
                  .row_name = "layer",
                  .column_name = "head",
                  .value_name = name,
                  .rows = {},
                  .columns = {},
                  .values = values};
  panel.limit = largest_size(values);
  for (const int layer : found.layers) panel.rows.push_back(std::to_string(layer));
  for (const int head : found.heads) panel.columns.push_back(std::to_string(head));
  panel.layers = true;
  panels.emplace_back(std::move(panel));
}

/// Not more than a reader looks at.
void check_panels(const std::vector<Panel>& panels) {
  if (panels.size() > kMostMaps)
    user_error("a figure is limited to {} maps, not {}: use fewer layers, heads or texts",
               kMostMaps, panels.size());
}

HeatPanel covariance_panel(const CovarianceView& view) {
  const Covariance& found = *view.covariance;
  const auto n = static_cast<size_t>(found.variables);
  if (n > kMostVariables)
    user_error(
        "a figure of a covariance is limited to {} variables, not {}: select fewer variables",
        kMostVariables, n);
  if (!found.scaled.empty() && !view.correlations)
    user_error(
        "the squares of some variables are outside the range of float64, which a covariance figure "
        "cannot show: multiply them, to be between 1e-150 and 1e150");
  HeatPanel panel{.title = printable(view.title),
                  .row_name = {},
                  .column_name = {},
                  .value_name = view.correlations ? "correlation" : "covariance",
                  .rows = {},
                  .columns = {},
                  .values = view.correlations ? correlation(found) : found.values,
                  .kind = HeatPanel::Kind::kDiverging};
  for (size_t i = 0; i < n; ++i)
    panel.rows.push_back(view.names.empty() ? std::to_string(i) : printable(view.names[i]));
  panel.columns = panel.rows;
  panel.limit = view.correlations ? 1 : largest_size(panel.values);
  return panel;
}

}  // namespace

std::string attention_figure(std::span<const AttentionViews> results, const PageSource& source,
                             FigureFormat format) {
  const TokenTable tokens(source.tokenizer);
  std::vector<Panel> panels;
  for (const AttentionViews& views : results) {
    if (views.maps) add_maps(panels, *views.maps, tokens);
    if (views.rollout) add_relevance(panels, *views.rollout, "rollout", tokens);
    if (views.flow) add_relevance(panels, *views.flow, "flow", tokens);
    if (const HeadStatistics* found = views.statistics) {
      add_habit(panels, *found, "attention to the first token", found->first_token);
      add_habit(panels, *found, "attention to the previous token", found->previous_token);
      add_habit(panels, *found, "attention to the token itself", found->current_token);
      add_habit(panels, *found, "entropy in nats", found->entropy);
      add_habit(panels, *found, "mean distance in tokens", found->distance);
    }
    if (const RepetitionScores* found = views.repetition) {
      add_habit(panels, *found, "induction", found->induction);
      add_habit(panels, *found, "duplicate token", found->duplicate_token);
    }
    check_panels(panels);
  }
  return draw_figure(panels, format);
}

std::string covariance_figure(std::span<const CovarianceView> results, FigureFormat format) {
  std::vector<Panel> panels;
  for (const CovarianceView& view : results) panels.emplace_back(covariance_panel(view));
  check_panels(panels);
  return draw_figure(panels, format);
}

std::string predictivity_figure(const Predictivity& result, FigureFormat format) {
  LinesPanel panel{.title = fmt::format("Predictivity of {} neuroids by {} stimuli",
                                        result.neuroids, result.stimuli),
                   .x_name = "site",
                   .y_name = result.ceiled ? "r / ceiling" : "r",
                   .x = {},
                   .series = {}};
  LinesPanel::Series trained{.name = "trained", .values = {}},
      untrained{.name = "untrained", .values = {}}, baseline{.name = "no model", .values = {}},
      ceiling{.name = "ceiling", .values = {}};
  for (size_t i = 0; i < result.sites.size(); ++i) {
    const PredictivityScore& site = result.sites[i];
    const bool embeddings = site.name.ends_with("resid_pre") && site.layer == 0;
    panel.x.push_back(embeddings ? "embed" : std::to_string(site.layer));
    trained.values.push_back(site.score);
    trained.low.push_back(site.interval.low);
    trained.high.push_back(site.interval.high);
    baseline.values.push_back(result.baseline.score);
    ceiling.values.push_back(1);
    if (result.controls.empty()) continue;
    untrained.values.push_back(result.controls[i].score);
    untrained.low.push_back(result.controls[i].interval.low);
    untrained.high.push_back(result.controls[i].interval.high);
  }
  panel.series = {trained};
  if (!result.controls.empty()) panel.series.push_back(untrained);
  panel.series.push_back(baseline);
  if (result.ceiled) panel.series.push_back(ceiling);
  return draw_figure({panel}, format);
}

}  // namespace vitrine
