// SPDX-License-Identifier: MIT
#include "cli/patching/patch_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/core/heat.h"
#include "cli/patching/patch_args.h"

namespace vitrine::cli {
using namespace internal;
namespace {

std::string column_name(const PatchPicture& p, const PatchGrid& grid, size_t column) {
  const int64_t at = grid.columns[column];
  switch (grid.over) {
    case PatchOver::kPositions:
      return p.names.shown(p.ids[static_cast<size_t>(at)]);
    case PatchOver::kHeads:
      return fmt::format("head {}", at);
    case PatchOver::kNeurons:
      return fmt::format("neuron {}", at);
    case PatchOver::kWhole:
      break;
  }
  return "all";
}
bool rescaled(const PatchPicture& p) { return p.scale != PatchPicture::Scale::kMetric; }

/// An effect as what the base run has gained: of the clean run, whose own value is 1, it is a loss.
double gained(const PatchPicture& p, double effect) {
  return p.scale == PatchPicture::Scale::kFromClean ? effect - 1 : effect;
}

std::string unit(const PatchPicture& p) {
  if (p.scale == PatchPicture::Scale::kFromCorrupt)
    return "percent of the way from the corrupt prompt's answer (0) to the clean one's (+100)";
  if (p.scale == PatchPicture::Scale::kFromClean)
    return "percent of the way from the clean prompt's answer (0) to the corrupt one's (-100)";
  switch (p.metric) {
    case PatchMetric::Kind::kProb:
      return "what is added to the probability, in percentage points";
    case PatchMetric::Kind::kLogProb:
      return "what is added to the log-probability, in hundredths of a nat";
    default:
      return "what is added, in hundredths of a logit";
  }
}

std::string heat_of(const PatchPicture& p, const PatchGrid& grid,
                    const std::vector<double>& values) {
  HeatPanel heat{.row_name = "layer", .limit = rescaled(p) ? 1.0 : largest_size(values)};
  for (size_t column = 0; column < grid.columns.size(); ++column)
    heat.columns.push_back(clip(column_name(p, grid, column), 8));
  for (size_t row = 0; row < grid.layers.size(); ++row) {
    heat.rows.push_back(std::to_string(grid.layers[row]));
    for (size_t column = 0; column < grid.columns.size(); ++column)
      heat.values.push_back(gained(p, values[grid.cell(row, column)]));
  }
  return draw_heat(heat, p.out);
}

struct Line {
  std::string name;
  double effect;
};

std::string list(const PatchPicture& p, std::vector<Line> lines, size_t top) {
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    return std::abs(a.effect) > std::abs(b.effect);
  });
  const double full = lines.empty() ? 0.0 : std::abs(lines.front().effect);
  std::string text;
  for (size_t i = 0; i < std::min(top, lines.size()); ++i) {
    const double share = full > 0 ? lines[i].effect / full : 0.0;
    const std::string number = rescaled(p) ? fmt::format("{:>+8.1f} %", 100 * lines[i].effect)
                                           : fmt::format("{:>+10.4f}", lines[i].effect);
    text +=
        fmt::format("{}  {}\n", left(lines[i].name, 16),
                    p.out.paint(heat_style(share), number + "  " + open_bar(std::abs(share), 24)));
  }
  if (lines.size() > top)
    text += p.out.paint(Style::kDim, fmt::format("{} more are smaller", lines.size() - top)) + "\n";
  return text;
}

std::string list_cells(const PatchPicture& p, const PatchGrid& grid,
                       const std::vector<double>& values, size_t top) {
  std::vector<Line> lines;
  for (size_t row = 0; row < grid.layers.size(); ++row) {
    for (size_t column = 0; column < grid.columns.size(); ++column) {
      lines.push_back({fmt::format("neuron {}.{}", grid.layers[row], grid.columns[column]),
                       gained(p, values[grid.cell(row, column)])});
    }
  }
  return list(p, std::move(lines), top);
}

}  // namespace

std::string draw_grid(const PatchPicture& p, const PatchGrid& grid, size_t top) {
  const auto draw = [&](const std::vector<double>& values) {
    return grid.over == PatchOver::kNeurons ? list_cells(p, grid, values, top)
                                            : heat_of(p, grid, values);
  };
  std::string text;
  if (!grid.effects.empty())
    text += "\n" + p.out.paint(Style::kTitle, sweep_name(grid.site)) + "\n" + draw(grid.effects);
  if (!grid.estimates.empty())
    text += "\n" +
            p.out.paint(Style::kTitle, sweep_name(grid.site) + ", estimated from the gradient") +
            "\n" + draw(grid.estimates);
  if (!grid.effects.empty() && !grid.estimates.empty())
    text += p.out.paint(Style::kDim,
                        fmt::format("correlation of the two: {:.3f}", grid.correlation())) +
            "\n";
  return text + p.out.paint(Style::kDim, "cells: " + unit(p)) + "\n" +
         heat_legend("towards the wrong answer", "towards the answer", p.out);
}

std::string draw_paths(const PatchPicture& p, const PathPatching& found, size_t top) {
  std::vector<Line> lines;
  for (size_t i = 0; i < found.senders.size(); ++i)
    lines.push_back({found.senders[i].name(), gained(p, found.effects[i])});
  return "\n" + list(p, std::move(lines), top) + p.out.paint(Style::kDim, unit(p)) + "\n";
}

std::string draw_work(const PatchPicture& p, const PatchWork& work) {
  const double share = static_cast<double>(work.computed) / static_cast<double>(work.naive);
  return p.out.paint(
             Style::kDim,
             fmt::format("{} cells; computed {} tokens x layers, {} of what a whole run each takes",
                         thousands(work.cells), thousands(work.computed), percent(share))) +
         "\n";
}

std::string describe(const PatchMetric& metric, const Names& names) {
  switch (metric.kind) {
    case PatchMetric::Kind::kLogitDifference:
      return fmt::format("logit of {} less that of {}", names.shown(metric.answer),
                         names.shown(metric.wrong));
    case PatchMetric::Kind::kLogit:
      return fmt::format("logit of {}", names.shown(metric.answer));
    case PatchMetric::Kind::kLogProb:
      return fmt::format("log-probability of {}", names.shown(metric.answer));
    case PatchMetric::Kind::kProb:
      break;
  }
  return fmt::format("probability of {}", names.shown(metric.answer));
}

}  // namespace vitrine::cli
