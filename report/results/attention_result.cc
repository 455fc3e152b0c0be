// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/sites.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMaxMapCells = 6'000'000, kMaxPanels = 48;
constexpr double kThinEdge = 0.01;  // capacities below are not drawn

constexpr const char* kMapsHelp =
    "Where each position looks. A small map is a head, rows what looks and columns what is looked "
    "at; click one, or press Enter on it, to see it large. In the text, point at a token to see "
    "what it looks at.";
constexpr const char* kRolloutHelp =
    "How much of each input token is in each position, if every layer mixed the stream as its mean "
    "attention says, half of it being what was there before. Rows are positions, columns the "
    "input.";
constexpr const char* kFlowHelp =
    "How much could pass from each input token to a position, if the mean attention of each layer "
    "is the width of a pipe, and half of each position's width is the stream itself. Rows are "
    "positions, columns the input; the network shows the pipes of one position.";
constexpr const char* kRolloutCaution =
    "A method for encoders: with causal maps the first tokens collect more.";
constexpr const char* kFlowCaution =
    "The most that could pass, not what did: each token has the network to itself. A method for "
    "encoders.";

/// What maps, rollout and flow have in common: queries of a text that look at keys.
Result queries_by_keys(const std::string& mode, const std::vector<int32_t>& ids,
                       std::vector<std::string> sites, const std::vector<int64_t>& queries,
                       const PageSource& source) {
  const auto id = [&](int64_t at) { return ids[static_cast<size_t>(at)]; };
  Result result{.view = "attention",
                .title = {},
                .help = {},
                .label = text_label(ids, source),
                .facts = {{"mode", mode}},
                .shown = {{"layers", site_labels(sites)}},
                .axes = {{"site", std::move(sites)},
                         {"position", queries},
                         {"key", numbered(ids.size()), true,
                          column_of(queries, [](int64_t query) { return query + 1; }), true}},
                .tables = {{"sites", {"site"}},
                           {"positions", {"position"}},
                           {"token", {"position"}, {{"", TokenIds{column_of(queries, id)}}}},
                           {"key_token", {"key"}, {{"", TokenIds{ids}}}}}};
  result.max_cells = kMaxMapCells;
  result.max_panels = kMaxPanels;
  return result;
}

/// Queries by keys; what a query cannot see is empty.
class MapPanels {
 public:
  MapPanels(const std::vector<int32_t>& ids, const std::vector<int64_t>& queries,
            const Names& names, std::string value_name)
      : queries_(queries),
        empty_{.value_name = std::move(value_name),
               .columns = column_of(ids, [&](int32_t id) { return names.shown(id); })} {
    for (const int64_t query : queries)
      labels_.push_back(fmt::format("{} {}", query, empty_.columns[static_cast<size_t>(query)]));
  }

  /// One map, [Q, T]. Maps of a single query become the rows of one panel.
  template <typename T>
  void add(const std::string& kind, const std::string& name, std::span<const T> map) {
    const bool one = queries_.size() == 1;
    if (panels_.empty() || !one) {
      panels_.push_back(empty_);
      panels_.back().row_name = one ? kind : "query";
      panels_.back().title = one ? fmt::format("from position {}, {}", queries_[0],
                                               empty_.columns[static_cast<size_t>(queries_[0])])
                                 : kind + " " + name;
      if (!one) panels_.back().rows = labels_;
    }
    HeatPanel& panel = panels_.back();
    if (one) panel.rows.push_back(name);
    const size_t keys = empty_.columns.size();
    for (size_t i = 0; i < map.size(); ++i) {
      const bool seen = static_cast<int64_t>(i % keys) <= queries_[i / keys];
      panel.values.push_back(seen ? static_cast<double>(map[i])
                                  : std::numeric_limits<double>::quiet_NaN());
    }
  }
  std::vector<Panel> take() {
    panels_.back().cells = "percent of the row";  // said once, below the last one
    for (HeatPanel& panel : panels_) panel.limit = largest_size(panel.values);
    return std::vector<Panel>(panels_.begin(), panels_.end());
  }

 private:
  const std::vector<int64_t>& queries_;
  HeatPanel empty_;
  std::vector<std::string> labels_;
  std::vector<HeatPanel> panels_;
};

std::vector<std::string> sites_of(Site site, const std::vector<int>& layers) {
  return column_of(layers, [&](int layer) { return site_name(site, layer); });
}

/// The pipes of a flow that are wide enough to be drawn, block by block.
std::vector<Axis> network(const AttentionRelevance& found) {
  const size_t T = found.ids.size();
  std::vector<int32_t> blocks, from, to;
  std::vector<double> capacities;
  for (size_t i = 0; i < found.capacities.size(); ++i) {
    if (found.capacities[i] < kThinEdge) continue;
    blocks.push_back(static_cast<int32_t>(i / (T * T)));
    from.push_back(static_cast<int32_t>(i / T % T));
    to.push_back(static_cast<int32_t>(i % T));
    capacities.push_back(found.capacities[i]);
  }
  return {{"edge_block", std::move(blocks)},
          {"edge_from", std::move(from)},
          {"edge_to", std::move(to)},
          {"edge_capacity", std::move(capacities)}};
}

/// A number of each head, and how a reader calls it.
struct Habit {
  const char* field;
  const char* name;
  const char* title;
  const char* unit;  ///< "share": of the attention
  const std::vector<double>& values;
};

/// Habits of the same heads, with a word on what they are means of.
void add_habits(Result& result, const std::string& note, const std::vector<Habit>& habits) {
  JsonValue kinds = JsonValue::array();
  const auto labels = [&](const char* axis) {
    return column_of(std::get<std::vector<int32_t>>(axis_of(result, axis).labels),
                     [](int number) { return std::to_string(number); });
  };
  for (const Habit& each : habits) {
    const std::string unit = std::string_view(each.unit) == "share" ? "" : each.unit;
    kinds.push_back({{"field", each.field}, {"name", each.name}, {"unit", each.unit}});
    result.tables.push_back({each.field, {"layer", "head"}, {{"", each.values, unit}}});
    result.panels.emplace_back(HeatPanel{.title = each.title,
                                         .row_name = "layer",
                                         .column_name = "head",
                                         .value_name = each.title,
                                         .rows = labels("layer"),
                                         .columns = labels("head"),
                                         .values = each.values,
                                         .limit = largest_size(each.values),
                                         .layers = true});
  }
  result.shown["habits"].push_back({{"note", note}, {"kinds", std::move(kinds)}});
}

std::vector<Result> described_views(std::span<const AttentionViews> all, const PageSource& source) {
  std::vector<Result> results;
  for (const AttentionViews& views : all) {
    const size_t before = results.size();
    if (views.maps) results.push_back(maps_result(*views.maps, source));
    if (views.rollout) results.push_back(relevance_result(*views.rollout, "rollout", source));
    if (views.flow) results.push_back(relevance_result(*views.flow, "flow", source));
    if (views.statistics || views.repetition)
      results.push_back(heads_result(views.statistics, views.repetition, source));
    if (results.size() == before)
      user_error("missing views of attention: expected maps, rollout, flow or statistics of heads");
    // A list to choose from says which of one text's results it means.
    for (size_t i = before; results.size() - before > 1 && i < results.size(); ++i)
      results[i].label += ", " + results[i].facts.find("mode")->text();
  }
  return results;
}

}  // namespace

Result internal::maps_result(const AttentionMaps& found, const PageSource& source) {
  Result result = queries_by_keys("maps", found.ids, sites_of(Site::kPattern, found.layers),
                                  found.queries, source);
  result.title = "Attention";
  result.help = kMapsHelp;
  MapPanels panels(found.ids, found.queries, Names(source.tokenizer), "attention");
  std::vector<float> values;
  for (size_t l = 0; l < found.layers.size(); ++l) {
    for (size_t h = 0; h < found.heads.size(); ++h) {
      const std::span<const float> map = found.map(l, h);
      values.insert(values.end(), map.begin(), map.end());
      panels.add("head", fmt::format("{}.{}", found.layers[l], found.heads[h]), map);
    }
  }
  result.axes.push_back({"head", found.heads});
  result.tables.push_back({"heads", {"head"}});
  result.tables.push_back({.name = "maps",
                           .axes = {"site", "head"},
                           .parts = {{.name = "attention",
                                      .axes = {"position", "key"},
                                      .fields = {{"", std::move(values)}}}}});
  result.cells = {"site", "head", "position", "key"};
  result.panels = panels.take();
  return result;
}

Result internal::relevance_result(const AttentionRelevance& found, const std::string& mode,
                                  const PageSource& source) {
  const bool flow = mode == "flow";
  Result result = queries_by_keys(mode, found.ids, sites_of(Site::kResidPost, found.layers),
                                  found.queries, source);
  result.title = flow ? "Attention flow" : "Attention rollout";
  result.help = flow ? kFlowHelp : kRolloutHelp;
  result.shown["caution"] = flow ? kFlowCaution : kRolloutCaution;
  result.tables.push_back({mode, {"site", "position", "key"}, {{"", found.values}}});
  if (!found.capacities.empty()) result.lists = network(found);
  MapPanels panels(found.ids, found.queries, Names(source.tokenizer), mode);
  const size_t map = found.queries.size() * found.ids.size();
  for (size_t l = 0; l < found.layers.size(); ++l)
    panels.add("layer", std::to_string(found.layers[l]),
               std::span(found.values).subspan(l * map, map));
  result.panels = panels.take();
  return result;
}

Result internal::heads_result(const HeadStatistics* statistics, const RepetitionScores* repetition,
                              const PageSource& source) {
  const auto& layers = statistics ? statistics->layers : repetition->layers;
  const auto& heads = statistics ? statistics->heads : repetition->heads;
  if (repetition && (repetition->layers != layers || repetition->heads != heads))
    user_error(
        "different heads of the statistics and of the repetition scores: expected the same layers "
        "and heads");
  Result result{.view = "attention",
                .title = "What heads do",
                .help =
                    "Where each head looks by habit: layers by heads. Point at a head to see "
                    "all of its numbers.",
                .label = "what heads do",
                .facts = {{"mode", "heads"}},
                .axes = {{"layer", layers}, {"head", heads}},
                .tables = {{"layers", {"layer"}}, {"heads", {"head"}}}};
  result.max_panels = kMaxPanels;
  result.shown["habits"] = JsonValue::array();
  if (statistics) {
    const HeadStatistics& of = *statistics;
    result.facts["queries"] = of.queries;
    add_habits(
        result, fmt::format("Means over {} queries.", thousands(of.queries)),
        {{"first_token", "First token", "attention to the first token", "share", of.first_token},
         {"previous_token", "Previous token", "attention to the previous token", "share",
          of.previous_token},
         {"current_token", "Current token", "attention to the token itself", "share",
          of.current_token},
         {"entropy", "Entropy", "entropy in nats", "nats", of.entropy},
         {"distance", "Distance", "mean distance in tokens", "tokens", of.distance}});
  }
  if (repetition) {
    const RepetitionScores& of = *repetition;
    result.facts["repetition"] = {{"sequences", of.sequences}, {"length", of.length}};
    result.facts["repetition"]["bos"] =
        of.bos ? Names(source.tokenizer).json(*of.bos) : JsonValue(nullptr);
    add_habits(
        result,
        fmt::format("Means over {} sequences of {} random tokens that come a second time.",
                    of.sequences, of.length),
        {{"induction", "Induction", "induction", "share", of.induction},
         {"duplicate_token", "Duplicate token", "duplicate token", "share", of.duplicate_token}});
  }
  return result;
}

std::string attention_page(std::span<const AttentionViews> results, const PageSource& source) {
  check_results(results.size(), "attention");
  return results_page(described_views(results, source), source);
}

std::string attention_figure(std::span<const AttentionViews> results, const PageSource& source,
                             FigureFormat format) {
  return results_figure(described_views(results, source), format);
}

}  // namespace vitrine
