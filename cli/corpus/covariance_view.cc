// SPDX-License-Identifier: MIT
#include "cli/corpus/covariance_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "vitrine/tokenizer.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr int64_t kSmall = 16;  // variables whose matrix is shown
constexpr size_t kLabel = 16, kCell = 10;

std::string label(const NamedCovariance& result, int64_t variable) {
  return printable(result.variables[static_cast<size_t>(variable)]);
}

double correlation_at(const NamedCovariance& result, int64_t i, int64_t j) {
  return result.correlation[static_cast<size_t>(i * result.covariance.variables + j)];
}

Style style_of(double correlation) {
  return std::isnan(correlation) ? Style::kNothing : heat_style(correlation);
}

std::string title(const Terminal& out, const NamedCovariance& result) {
  const Covariance& c = result.covariance;
  double total = 0;
  for (int64_t i = 0; i < c.variables; ++i) total += c.at(i, i);
  const std::string weight = c.weight == static_cast<double>(c.observations)
                                 ? ""
                                 : fmt::format(" that weigh {:.6g}", c.weight);
  return out.paint(Style::kTitle, printable(result.name)) +
         fmt::format(
             ": {} variables, {} observations{}, divisor {:.10g} (ddof {}); total variance "
             "{:.6g}\n",
             thousands(c.variables), thousands(c.observations), weight, c.divisor, c.ddof, total);
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

std::string pairs_text(const Terminal& out, const NamedCovariance& result, size_t rows) {
  const auto pairs = strongest_pairs(result, rows);
  if (pairs.empty()) return "";
  std::string text =
      "\n" +
      out.paint(Style::kDim, fmt::format("{}  {}  correlation    covariance",
                                         left("strongest", kLabel), left("", kLabel))) +
      "\n";
  for (const Pair& pair : pairs) {
    const double r = correlation_at(result, pair.i, pair.j);
    text += fmt::format("{}  {}  {}  {:>+12.6g}\n", left(label(result, pair.i), kLabel),
                        left(label(result, pair.j), kLabel),
                        out.paint(style_of(r), fmt::format("{:>+11.4f}", r)),
                        result.covariance.at(pair.i, pair.j));
  }
  return text;
}

/// Covariances; the colour is the correlation, so that it does not depend on units.
std::string matrix_text(const Terminal& out, const NamedCovariance& result) {
  const int64_t n = result.covariance.variables;
  size_t label_width = 0;
  for (int64_t i = 0; i < n; ++i)
    label_width = std::max(label_width, display_width(label(result, i)));
  label_width = std::min(label_width, kLabel);
  const Columns columns = fit_columns(out, static_cast<size_t>(n), label_width, kCell + 1, false);
  std::string head = left("", label_width), text;
  for (size_t j = 0; j < columns.count; ++j)
    head += " " + right(label(result, static_cast<int64_t>(j)), kCell);
  text = "\n" + out.paint(Style::kDim, head) + "\n";
  for (int64_t i = 0; i < n; ++i) {
    text += left(label(result, i), label_width);
    for (int64_t j = 0; j < static_cast<int64_t>(columns.count); ++j) {
      const std::string number =
          fmt::format(fmt::runtime(i == j ? "{:.4g}" : "{:+.4g}"), result.covariance.at(i, j));
      text += " " + out.paint(i == j ? Style::kTitle : style_of(correlation_at(result, i, j)),
                              right(number, kCell));
    }
    text += "\n";
  }
  if (columns.hidden > 0)
    text += out.paint(Style::kDim,
                      fmt::format("{} more columns do not fit (--width 0: all)", columns.hidden)) +
            "\n";
  return text +
         out.paint(Style::kDim, "on the diagonal: variances; off it: covariances with their sign") +
         "\n";
}

std::string constants_text(const NamedCovariance& result) {
  constexpr size_t kShown = 5;
  const std::vector<int64_t> constant = constant_variables(result.covariance);
  if (constant.empty()) return "";
  std::string names;
  for (size_t i = 0; i < std::min(kShown, constant.size()); ++i)
    names += (i == 0 ? "" : ", ") + label(result, constant[i]);
  return fmt::format("\n{} of {} variables are constant and have no correlation: {}{}\n",
                     thousands(std::ssize(constant)), thousands(result.covariance.variables), names,
                     constant.size() > kShown ? ", ... (--json: all)" : "");
}

}  // namespace

std::string covariance_text(const Terminal& out, const NamedCovariance& result, size_t rows) {
  std::string text = title(out, result);
  if (result.covariance.variables <= kSmall) text += matrix_text(out, result);
  return text + components_text(out, result.components, rows) + pairs_text(out, result, rows) +
         constants_text(result);
}

}  // namespace vitrine::cli
