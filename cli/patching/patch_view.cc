// SPDX-License-Identifier: MIT
#include "cli/patching/patch_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/heat.h"
#include "report/names.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct Line {
  std::string name;
  double effect, error;
};

std::string name_of(const HeatPanel& panel, size_t row, size_t column) {
  const std::string &layer = panel.rows[row], &at = panel.columns[column];
  if (panel.column_name == "neuron") return "neuron " + layer + "." + at;
  if (layer == "embed") return layer;
  return at == "MLP" ? "mlp " + layer : "head " + layer + at.substr(4).replace(0, 1, ".");
}

std::vector<Line> lines_of(const HeatPanel& panel) {
  std::vector<Line> lines;
  for (size_t i = 0; i < panel.values.size(); ++i) {
    if (std::isnan(panel.values[i])) continue;
    lines.push_back({name_of(panel, i / panel.columns.size(), i % panel.columns.size()),
                     panel.values[i], panel.errors.empty() ? 0 : panel.errors[i]});
  }
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    return std::abs(a.effect) > std::abs(b.effect);
  });
  return lines;
}

std::string list(const HeatPanel& panel, bool shares, size_t top, const Terminal& out) {
  const std::vector<Line> lines = lines_of(panel);
  const double full = lines.empty() ? 0.0 : std::abs(lines.front().effect);
  std::string text;
  for (size_t i = 0; i < std::min(top, lines.size()); ++i) {
    const auto& [name, effect, error] = lines[i];
    const double share = full > 0 ? effect / full : 0.0;
    std::string number =
        shares ? fmt::format("{:>+8.1f} %", 100 * effect) : fmt::format("{:>+10.4f}", effect);
    if (!panel.errors.empty())
      number += shares ? fmt::format(" ±{:>5.1f}", 100 * error) : fmt::format(" ±{:>7.4f}", error);
    text +=
        fmt::format("{}  {}\n", left(name, 16),
                    out.paint(heat_style(share), number + "  " + open_bar(std::abs(share), 24)));
  }
  const auto dim = [&](const std::string& words) { return out.paint(Style::kDim, words) + "\n"; };
  if (lines.size() > top) text += dim(fmt::format("{} more are smaller", lines.size() - top));
  return text + dim("cells: " + panel.cells) + heat_legend(panel.below, panel.above, out);
}

/// A field of one number; nullopt if there is none.
std::optional<double> number(const std::vector<Leaf>& fields, const std::string& name) {
  const auto found = std::ranges::find(fields, name, &Leaf::name);
  if (found == fields.end()) return std::nullopt;
  if (const auto* counts = std::get_if<std::vector<int64_t>>(&found->field->values))
    return static_cast<double>(counts->front());
  return std::get<std::vector<double>>(found->field->values).front();
}

/// "11.0189 clean, -8.1573 corrupt", over pairs with standard errors.
std::string whole_runs(const std::vector<Leaf>& fields) {
  std::string text;
  for (const char* name : {"whole_model", "clean", "corrupt"}) {
    const auto mean = number(fields, std::string(name) + "_mean");
    const auto value = mean ? mean : number(fields, name);
    if (!value) continue;
    text += fmt::format("{}{:.4f}", text.empty() ? "" : ", ", *value);
    if (mean)
      text += fmt::format(" ± {:.4f}", *number(fields, std::string(name) + "_standard_error"));
    if (std::string_view(name) != "whole_model") text += fmt::format(" {}", name);
  }
  return text;
}

}  // namespace

std::string draw_patch(const Result& result, const std::string& metric, const std::string& note,
                       size_t top, const Terminal& out) {
  const std::vector<Leaf> fields = leaves(result);
  const bool pairs = result.facts.find("pairs") != nullptr;
  std::string text = (pairs ? out.paint(Style::kTitle, result.label) + "\n" : "") +
                     fmt::format("{}: {}\n", metric, whole_runs(fields)) +
                     out.paint(Style::kDim, note) + "\n";
  for (const Panel& each : result.panels) {
    const auto& panel = std::get<HeatPanel>(each);
    const bool listed = panel.column_name == "neuron" || panel.column_name == "component";
    const bool shares = result.facts.find("direction") != nullptr;
    text += "\n" + out.paint(Style::kTitle, panel.title) + "\n" +
            (listed ? list(panel, shares, top, out) : draw_heat(panel, out));
  }
  const double cells = *number(fields, "work_cells");
  if (cells == 0) return text;
  const double computed = *number(fields, "work_token_layers");
  return text +
         out.paint(
             Style::kDim,
             fmt::format("{} cells; computed {} tokens x layers, {} of what a whole run each takes",
                         thousands(std::llround(cells)), thousands(std::llround(computed)),
                         percent(computed / *number(fields, "work_naive_token_layers")))) +
         "\n";
}

}  // namespace vitrine::cli
