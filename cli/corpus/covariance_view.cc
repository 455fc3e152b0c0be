// SPDX-License-Identifier: MIT
#include "cli/corpus/covariance_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/heat.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kLabel = 16;

/// The values of a field of the description.
template <typename T>
const std::vector<T>& values_of(const Result& described, const std::string& name) {
  const std::vector<Leaf> all = leaves(described);
  return std::get<std::vector<T>>(std::ranges::find(all, name, &Leaf::name)->field->values);
}

std::string title(const Terminal& out, const CovarianceView& view, const Result& described) {
  const Covariance& c = *view.covariance;
  double total = 0;
  for (int64_t i = 0; i < c.variables; ++i) total += c.at(i, i);
  const std::string weight = c.weight == static_cast<double>(c.observations)
                                 ? ""
                                 : fmt::format(" that weigh {:.6g}", c.weight);
  return out.paint(Style::kTitle, described.label) +
         fmt::format(
             ": {} variables, {} observations{}, divisor {:.10g} (ddof {}); total variance "
             "{:.6g}\n",
             thousands(c.variables), thousands(c.observations), weight, c.divisor, c.ddof, total);
}

std::string matrices_text(const Terminal& out, const Result& described) {
  std::string text;
  for (const Panel& panel : described.panels) {
    const auto& heat = std::get<HeatPanel>(panel);
    if (!heat.texts.empty()) text += "\n" + draw_heat(heat, out);
  }
  return text;
}

std::string words_text(const Result& described) {
  const JsonValue* words = described.facts.find("in_words");
  return words->is_null() ? "" : "\n" + words->text() + "\n";
}

std::string components_text(const Terminal& out, const PrincipalComponents& components,
                            size_t rows) {
  std::string text =
      "\n" + out.paint(Style::kDim, "component    eigenvalue    of the variance  together") + "\n";
  double together = 0;
  for (size_t i = 0; i < std::min(rows, components.eigenvalues.size()); ++i) {
    together += components.explained[i];
    const std::string part = open_bar(components.explained[i], 24);
    text += fmt::format("{:>9}  {:>12.6g}  {:>8}  {:>8}{}{}\n", i + 1, components.eigenvalues[i],
                        percent(components.explained[i]), percent(together),
                        part.empty() ? "" : "  ", part);
  }
  return text;
}

std::string pairs_text(const Terminal& out, const Result& described,
                       const std::vector<std::string>& names) {
  const auto& indices = values_of<int64_t>(described, "strongest_indices");
  const auto &covariance = values_of<double>(described, "strongest_covariance"),
             &correlation = values_of<double>(described, "strongest_correlation");
  if (correlation.empty()) return "";
  std::string text =
      "\n" +
      out.paint(Style::kDim, fmt::format("{}  {}  correlation    covariance",
                                         left("strongest", kLabel), left("", kLabel))) +
      "\n";
  const auto label = [&](size_t at) {
    return left(printable(names[static_cast<size_t>(indices[at])]), kLabel);
  };
  for (size_t i = 0; i < correlation.size(); ++i) {
    text += fmt::format(
        "{}  {}  {}  {:>+12.6g}\n", label(2 * i), label(2 * i + 1),
        out.paint(heat_style(correlation[i]), fmt::format("{:>+11.4f}", correlation[i])),
        covariance[i]);
  }
  return text;
}

std::string constants_text(const CovarianceView& view) {
  constexpr size_t kShown = 5;
  const std::vector<int64_t> constant = constant_variables(*view.covariance);
  if (constant.empty()) return "";
  std::string names;
  for (size_t i = 0; i < std::min(kShown, constant.size()); ++i)
    names += (i == 0 ? "" : ", ") + printable(view.names[static_cast<size_t>(constant[i])]);
  return fmt::format("\n{} of {} variables are constant and have no correlation: {}{}\n",
                     thousands(std::ssize(constant)), thousands(view.covariance->variables), names,
                     constant.size() > kShown ? ", ... (--json: all)" : "");
}

}  // namespace

std::string covariance_text(const Terminal& out, const CovarianceView& view,
                            const Result& described, size_t rows) {
  return title(out, view, described) + matrices_text(out, described) + words_text(described) +
         components_text(out, *view.components, rows) + pairs_text(out, described, view.names) +
         constants_text(view);
}

}  // namespace vitrine::cli
