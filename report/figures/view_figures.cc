// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <cmath>
#include <limits>

#include "base/check.h"
#include "report/figures/figure.h"
#include "report/page.h"
#include "report/token_table.h"
#include "vitrine/analysis/attention.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMostMaps = 48;  // panels of one figure

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

}  // namespace vitrine
