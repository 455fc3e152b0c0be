// SPDX-License-Identifier: MIT
#include "report/results/patch_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "report/page.h"
#include "report/results/patch_parts.h"

namespace vitrine {
using namespace internal;
namespace {

/// Grids, or over pairs those of the means with those of the other statistics.
struct Grids {
  std::span<const PatchGrid> means, errors = {}, deviations = {};
};

std::string_view column_name(PatchOver over) {
  constexpr std::array<std::string_view, 4> kNames = {"position", "head", "neuron", "whole"};
  return kNames[static_cast<size_t>(over)];
}

/// One statistic of all grids, [sites x layers, columns]; NaN where a grid has fewer columns.
std::vector<double> joined(std::span<const PatchGrid> grids, std::vector<double> PatchGrid::*member,
                           size_t width) {
  std::vector<double> all;
  for (const PatchGrid& grid : grids) {
    const std::vector<double>& values = grid.*member;
    if (values.empty()) return {};
    for (size_t row = 0; row < grid.layers.size(); ++row) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(grid.cell(row, 0));
      all.insert(all.end(), begin, begin + std::ssize(grid.columns));
      all.resize(all.size() + width - grid.columns.size(),
                 std::numeric_limits<double>::quiet_NaN());
    }
  }
  return all;
}

void add_axes(Result& result, std::span<const PatchGrid> grids, const PatchSubject& subject,
              const std::vector<int32_t>& base) {
  std::vector<std::string> sites, sweeps;
  std::vector<int64_t> columns, lengths;
  for (const PatchGrid& grid : grids) {
    sweeps.emplace_back(site_info(grid.site).name);
    if (grid.columns.size() > columns.size()) columns = grid.columns;
    for (const int layer : grid.layers) {
      sites.push_back(site_name(grid.site, layer));
      lengths.push_back(std::ssize(grid.columns));
    }
  }
  if (std::ranges::count(lengths, std::ssize(columns)) == std::ssize(lengths)) lengths.clear();
  const PatchOver over = grids[0].over;
  const std::string name(column_name(over));
  result.facts["over"] = name;
  result.cells = {"site"};
  result.axes = {{"site", std::move(sites)}, {"sweep", std::move(sweeps)}};
  if (over == PatchOver::kWhole) return;
  result.cells.push_back(name);
  result.axes.push_back({name, columns, false, std::move(lengths)});
  if (over != PatchOver::kPositions || subject.pairs > 0) return;
  TokenIds tokens;
  for (const int64_t at : columns) tokens.ids.push_back(base[static_cast<size_t>(at)]);
  result.tables.push_back({"positions", {name}, {{"token", std::move(tokens)}}});
}

std::vector<std::string> column_labels(const PatchGrid& grid, const PatchSubject& subject,
                                       const std::vector<int32_t>& base, const Names& names) {
  return column_of(grid.columns, [&](int64_t at) {
    return grid.over == PatchOver::kWhole ? std::string("all")
           : grid.over == PatchOver::kPositions && subject.pairs == 0
               ? names.shown(base[static_cast<size_t>(at)])
               : std::to_string(at);
  });
}

void add_panels(Result& result, const Experiment& experiment, const Grids& grids, size_t g,
                const PatchSubject& subject, const PageSource& source) {
  const PatchGrid& grid = grids.means[g];
  const std::string title(site_info(grid.site).name);
  const bool parts = grid.over == PatchOver::kHeads || grid.over == PatchOver::kNeurons;
  const std::vector<int32_t>& base = experiment.of_clean ? subject.clean : subject.corrupt;
  const auto add = [&](const std::string& what, std::vector<double> PatchGrid::*member) {
    if ((grid.*member).empty()) return;
    HeatPanel panel =
        effect_panel(experiment, subject, source, grid.*member,
                     grids.errors.empty() ? std::vector<double>() : grids.errors[g].*member);
    panel.title = title + what;
    panel.column_name = column_name(grid.over);
    if (parts) panel.corner = "layer, " + panel.column_name;
    panel.rows = column_of(grid.layers, [](int layer) { return std::to_string(layer); });
    panel.columns = column_labels(grid, subject, base, Names(source.tokenizer));
    result.panels.emplace_back(std::move(panel));
  };
  add("", &PatchGrid::effects);
  const double r = grid.correlation();
  add(std::isfinite(r)
          ? fmt::format(", estimated from the gradient (correlation of the two: {:.3f})", r)
          : ", estimated from the gradient",
      &PatchGrid::estimates);
  const auto& drawn = std::get<HeatPanel>(result.panels.back());
  result.shown["grids"].push_back(
      {{"title", title}, {"rows", drawn.rows}, {"columns", drawn.columns}});
}

void add_grids(Result& result, const Experiment& experiment, const Grids& grids,
               const PatchSubject& subject, const PageSource& source) {
  add_axes(result, grids.means, subject, experiment.of_clean ? subject.clean : subject.corrupt);
  const size_t width = result.cells.size() > 1 ? column_size(result.axes.back().labels) : 1;
  Table sweeps{"sweeps", {"sweep"}}, cells{"cells", result.cells};
  const std::string unit = metric_unit(subject.metric.kind);
  const auto add = [&](const char* name, std::vector<double> PatchGrid::*member,
                       const std::string& in) {
    std::vector<double> values = joined(grids.means, member, width);
    if (values.empty()) return;
    add_quantity(cells, {name, in, std::move(values), joined(grids.errors, member, width),
                         joined(grids.deviations, member, width)});
  };
  add("value", &PatchGrid::values, unit);
  add("effect", &PatchGrid::effects, experiment.shares ? "" : unit);
  add("estimate", &PatchGrid::estimates, experiment.shares ? "" : unit);
  if (!grids.means[0].effects.empty() && !grids.means[0].estimates.empty())
    sweeps.fields.push_back({"correlation", column_of(grids.means, [](const PatchGrid& grid) {
                               return grid.correlation();
                             })});
  result.tables.push_back(std::move(sweeps));
  result.tables.push_back(std::move(cells));
  for (size_t g = 0; g < grids.means.size(); ++g)
    add_panels(result, experiment, grids, g, subject, source);
}

Experiment patching(const PatchSubject& subject) {
  return {.mode = "patching",
          .title = "Activation patching",
          .help =
              "Each cell is a run with one activation taken from the other prompt's run. Blue "
              "cells carry the answer.",
          .effect = kShareOfTheWay,
          .of_clean = subject.direction == PatchDirection::kNoise};
}

}  // namespace

Result internal::patching_result(const Patching& found, const PatchSubject& subject,
                                 const PageSource& source) {
  const Experiment experiment = patching(subject);
  Result result = begun_patching(experiment, subject, source);
  const std::string unit = metric_unit(subject.metric.kind);
  result.tables = {
      whole_runs({{"clean", unit, {found.clean}}, {"corrupt", unit, {found.corrupt}}}, found.work)};
  add_grids(result, experiment, {found.grids}, subject, source);
  return result;
}

Result internal::patched_pairs_result(const OverPairs<Patching>& found, const PatchSubject& subject,
                                      const PageSource& source) {
  const Experiment experiment = patching(subject);
  Result result = begun_patching(experiment, subject, source);
  result.tables = {
      whole_runs(ends_of_pairs(found, metric_unit(subject.metric.kind)), found.mean.work)};
  add_grids(result, experiment,
            {found.mean.grids, found.standard_error.grids, found.deviation.grids}, subject, source);
  return result;
}

Result internal::ablation_result(const Ablations& found, const PatchSubject& subject,
                                 const PageSource& source) {
  const Experiment experiment{
      .mode = "ablation",
      .title = "Ablation",
      .help =
          "Each cell is a run without one component. Orange: the answer loses by it; blue: it "
          "gains.",
      .effect = "the metric without the component, less that of the whole model",
      .shares = false,
      .of_clean = true};
  Result result = begun_patching(experiment, subject, source);
  result.tables = {
      whole_runs({{"whole_model", metric_unit(subject.metric.kind), {found.value}}}, found.work)};
  add_grids(result, experiment, {found.grids}, subject, source);
  return result;
}

Result internal::trace_result(const Trace& found, const PatchSubject& subject,
                              const PageSource& source) {
  const Experiment experiment{
      .mode = "trace",
      .title = "Causal trace",
      .help =
          "The subject's embeddings are hidden under noise; each cell is a run with one "
          "activation put back to what it was. Blue cells bring the answer back.",
      .effect = "indirect effect: the metric with the state put back, less that under noise",
      .shares = false,
      .of_clean = true};
  Result result = begun_patching(experiment, subject, source);
  const std::string unit = metric_unit(subject.metric.kind);
  result.tables = {whole_runs({{"clean", unit, {found.clean}},
                               {"corrupt", unit, {found.corrupt}},
                               {"deviation", "", {found.deviation}}},
                              found.work),
                   {"draws", {"draw"}, {{"", found.draws, unit}}},
                   {"subject", {"subject"}}};
  add_grids(result, experiment, {found.grids}, subject, source);
  result.axes.insert(result.axes.end(),
                     {{"draw", numbered(found.draws.size()), true}, {"subject", found.subject}});
  return result;
}

std::string patching_page(const Patching& result, const PatchSubject& subject,
                          const PageSource& source) {
  return results_page({{patching_result(result, subject, source)}}, source);
}
std::string patching_figure(const Patching& result, const PatchSubject& subject,
                            const PageSource& source, FigureFormat format) {
  return results_figure({{patching_result(result, subject, source)}}, format);
}

std::string ablation_page(const Ablations& result, const PatchSubject& subject,
                          const PageSource& source) {
  return results_page({{ablation_result(result, subject, source)}}, source);
}
std::string ablation_figure(const Ablations& result, const PatchSubject& subject,
                            const PageSource& source, FigureFormat format) {
  return results_figure({{ablation_result(result, subject, source)}}, format);
}

std::string trace_page(const Trace& result, const PatchSubject& subject, const PageSource& source) {
  return results_page({{trace_result(result, subject, source)}}, source);
}
std::string trace_figure(const Trace& result, const PatchSubject& subject, const PageSource& source,
                         FigureFormat format) {
  return results_figure({{trace_result(result, subject, source)}}, format);
}

std::string path_page(const PathPatching& result, const PatchSubject& subject,
                      const PageSource& source) {
  return results_page({{path_result(result, subject, source)}}, source);
}
std::string path_figure(const PathPatching& result, const PatchSubject& subject,
                        const PageSource& source, FigureFormat format) {
  return results_figure({{path_result(result, subject, source)}}, format);
}

std::string patched_pairs_page(const OverPairs<Patching>& result, const PatchSubject& subject,
                               const PageSource& source) {
  return results_page({{patched_pairs_result(result, subject, source)}}, source);
}
std::string patched_pairs_figure(const OverPairs<Patching>& result, const PatchSubject& subject,
                                 const PageSource& source, FigureFormat format) {
  return results_figure({{patched_pairs_result(result, subject, source)}}, format);
}

std::string path_pairs_page(const OverPairs<PathPatching>& result, const PatchSubject& subject,
                            const PageSource& source) {
  return results_page({{path_pairs_result(result, subject, source)}}, source);
}
std::string path_pairs_figure(const OverPairs<PathPatching>& result, const PatchSubject& subject,
                              const PageSource& source, FigureFormat format) {
  return results_figure({{path_pairs_result(result, subject, source)}}, format);
}

}  // namespace vitrine
