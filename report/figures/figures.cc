// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "report/figures/figure.h"
#include "report/page.h"
#include "report/pages/patch_layout.h"
#include "report/token_table.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMostWritten = 1200;  // cells that hold text

std::vector<std::string> numbers(const std::vector<int>& values) {
  std::vector<std::string> texts;
  for (const int value : values) texts.push_back(std::to_string(value));
  return texts;
}

HeatPanel lens_heat(const Lens& lens, const PageSource& source, const TokenTable& tokens) {
  HeatPanel panel{.title = text_label(lens.ids, source),
                  .row_name = "layer",
                  .column_name = {},
                  .value_name = "rank of what follows",
                  .rows = numbers(lens.layers),
                  .columns = {},
                  .values = {lens.target_ranks.begin(), lens.target_ranks.end()},
                  .kind = HeatPanel::Kind::kRank,
                  .limit = static_cast<double>(source.config.vocab)};
  for (const int64_t position : lens.positions)
    panel.columns.push_back(tokens.shown(lens.ids[static_cast<size_t>(position)]));
  if (lens.top_k > 0 && panel.values.size() <= kMostWritten) {
    for (size_t cell = 0; cell < panel.values.size(); ++cell)
      panel.texts.push_back(tokens.shown(lens.top_ids[cell * static_cast<size_t>(lens.top_k)]));
  }
  turn_over(panel);
  return panel;
}

LinesPanel lens_lines(const Lens& lens, const PageSource& source, const TokenTable& tokens) {
  LinesPanel panel{.title = text_label(lens.ids, source),
                   .x_name = "layer",
                   .y_name = "rank",
                   .x = numbers(lens.layers),
                   .series = {},
                   .ranks = true};
  panel.series.push_back({.name = tokens.shown(lens.targets[0]),
                          .values = {lens.target_ranks.begin(), lens.target_ranks.end()}});
  for (size_t w = 0; w < lens.watch.size(); ++w) {
    if (lens.watch[w] == lens.targets[0]) continue;
    LinesPanel::Series series{.name = tokens.shown(lens.watch[w]), .values = {}};
    for (size_t row = 0; row < lens.rows(); ++row)
      series.values.push_back(lens.watch_ranks[row * lens.watch.size() + w]);
    panel.series.push_back(std::move(series));
  }
  return panel;
}

Panel saliency_panel(const Saliency& saliency, const PageSource& source, const TokenTable& tokens) {
  const bool is_signed = saliency.contrast.has_value();
  const std::vector<double>& values = is_signed ? saliency.scores : saliency.shares;
  const std::string title = text_label(saliency.ids, source),
                    what = fmt::format("{} ({})", is_signed ? "score" : "share",
                                       saliency_method_name(saliency.method));
  if (saliency.steps.size() == 1) {
    BarsPanel bars{.title = fmt::format("{} → {}", title, tokens.shown(saliency.steps[0].target)),
                   .value_name = what,
                   .bars = {}};
    for (size_t i = 0; i < saliency.ids.size(); ++i)
      bars.bars.push_back({tokens.shown(saliency.ids[i]), values[i]});
    return bars;
  }
  HeatPanel heat{.title = title,
                 .row_name = "next",
                 .column_name = {},
                 .value_name = what,
                 .rows = {},
                 .columns = {},
                 .values = values,
                 .kind = is_signed ? HeatPanel::Kind::kDiverging : HeatPanel::Kind::kAmount,
                 .limit = largest_size(values)};
  for (const int32_t id : saliency.ids) heat.columns.push_back(tokens.shown(id));
  for (size_t step = 0; step < saliency.steps.size(); ++step) {
    heat.rows.push_back(tokens.shown(saliency.steps[step].target));
    const auto behind =
        heat.values.begin() + static_cast<std::ptrdiff_t>(saliency.cell(
                                  step, static_cast<size_t>(saliency.steps[step].inputs)));
    std::fill(behind, heat.values.begin() + static_cast<std::ptrdiff_t>(saliency.cell(step + 1, 0)),
              std::numeric_limits<double>::quiet_NaN());
  }
  return heat;
}

HeatPanel attribution_panel(const LogitAttribution& found, const PageSource& source,
                            const TokenTable& tokens) {
  std::string what = "logit of " + tokens.shown(found.target);
  if (found.against) what += " less that of " + tokens.shown(*found.against);
  HeatPanel panel{.title = text_label(found.ids, source),
                  .row_name = "layer",
                  .column_name = "head",
                  .value_name = what,
                  .rows = {},
                  .columns = {},
                  .values = {},
                  .kind = HeatPanel::Kind::kDiverging};
  for (int head = 0; head < found.heads; ++head) panel.columns.push_back(std::to_string(head));
  panel.columns.insert(panel.columns.end(), {"bias", "MLP"});
  for (int layer = 0; layer < found.layers; ++layer) {
    panel.rows.push_back(std::to_string(layer));
    const auto heads = found.head.begin() + layer * found.heads;
    panel.values.insert(panel.values.end(), heads, heads + found.heads);
    panel.values.push_back(found.attention_bias[static_cast<size_t>(layer)]);
    panel.values.push_back(found.mlp[static_cast<size_t>(layer)]);
  }
  panel.limit = largest_size(panel.values);
  turn_over(panel);
  return panel;
}

HeatPanel layout_panel(PatchLayout layout, std::vector<double> values, const std::string& metric) {
  HeatPanel panel{.title = layout.title,
                  .row_name = "layer",
                  .column_name = layout.over,
                  .value_name = "effect on the " + metric,
                  .rows = std::move(layout.rows),
                  .columns = std::move(layout.columns),
                  .values = std::move(values),
                  .kind = HeatPanel::Kind::kDiverging};
  panel.limit = largest_size(panel.values);
  turn_over(panel);
  return panel;
}

template <typename Results, typename Draw>
std::string figure_of(const Results& results, FigureFormat format, const Draw& draw) {
  std::vector<Panel> panels;
  for (const auto& result : results) panels.push_back(draw(result));
  return draw_figure(panels, format);
}

}  // namespace

std::string lens_figure(std::span<const Lens> results, const PageSource& source,
                        FigureFormat format) {
  const TokenTable tokens(source.tokenizer);
  return figure_of(results, format, [&](const Lens& lens) -> Panel {
    if (lens.positions.size() == 1) return lens_lines(lens, source, tokens);
    return lens_heat(lens, source, tokens);
  });
}

std::string saliency_figure(std::span<const Saliency> results, const PageSource& source,
                            FigureFormat format) {
  const TokenTable tokens(source.tokenizer);
  return figure_of(results, format, [&](const Saliency& saliency) {
    return saliency_panel(saliency, source, tokens);
  });
}

std::string attribution_figure(std::span<const LogitAttribution> results, const PageSource& source,
                               FigureFormat format) {
  const TokenTable tokens(source.tokenizer);
  return figure_of(results, format, [&](const LogitAttribution& found) {
    return attribution_panel(found, source, tokens);
  });
}

std::string patch_figure(std::span<const PatchGrid> grids, const PatchSubject& subject,
                         const PageSource& source, FigureFormat format) {
  const TokenTable tokens(source.tokenizer);
  const std::string metric = metric_in_words(subject.metric, tokens);
  return figure_of(grids, format, [&](const PatchGrid& grid) {
    return layout_panel(patch_layout(grid, subject, tokens),
                        grid.effects.empty() ? grid.estimates : grid.effects, metric);
  });
}

std::string path_figure(const PathPatching& result, const PatchSubject& subject,
                        const PageSource& source, FigureFormat format) {
  const TokenTable tokens(source.tokenizer);
  const PathLayout layout = path_layout(result);
  return draw_figure(
      {layout_panel(layout.axes, layout.effects, metric_in_words(subject.metric, tokens))}, format);
}

}  // namespace vitrine
