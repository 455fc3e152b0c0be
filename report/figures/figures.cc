// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "base/check.h"
#include "report/figures/figure.h"
#include "report/page.h"
#include "report/pages/patch_layout.h"
#include "report/token_table.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine {
using namespace internal;
namespace {

HeatPanel layout_panel(PatchLayout layout, std::vector<double> values, const std::string& metric) {
  HeatPanel panel{.title = layout.title,
                  .row_name = "layer",
                  .column_name = layout.over,
                  .value_name = "effect on the " + metric,
                  .rows = std::move(layout.rows),
                  .columns = std::move(layout.columns),
                  .values = std::move(values),
                  .kind = HeatPanel::Kind::kDiverging,
                  .below = "towards the wrong answer",
                  .above = "towards the answer"};
  panel.limit = largest_size(panel.values);
  panel.layers = true;
  return panel;
}

template <typename Results, typename Draw>
std::string figure_of(const Results& results, FigureFormat format, const Draw& draw) {
  std::vector<Panel> panels;
  for (const auto& result : results) panels.push_back(draw(result));
  return draw_figure(panels, format);
}

}  // namespace

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
