// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "report/page.h"
#include "report/results/results.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int64_t kMaxMatrixCells = int64_t{2048} * 2048, kMaxObservations = 2000,
                  kMaxSeriesNumbers = 1'000'000;  // of all series together
constexpr int64_t kMaxWithNumbers = 16;           // variables whose numbers are in the cells
constexpr int64_t kMaxDrawn = 512;                // more are narrower than a hair
constexpr size_t kMaxFigurePanels = 48, kListedPairs = 10;
/// Of the largest to the smallest standard deviation. Above it one variable takes all colours, and
/// a common unit is unlikely.
constexpr double kMaxRatio = 10;

void check(const CovarianceView& view) {
  if (!view.covariance || view.covariance->variables < 1)
    user_error("missing variables of a covariance: expected at least one");
  const int64_t n = view.covariance->variables;
  if (std::ssize(view.covariance->mean) != n || std::ssize(view.covariance->values) != n * n) {
    user_error("the covariance of {} variables has {} means and {} values", n,
               view.covariance->mean.size(), view.covariance->values.size());
  }
  if (!view.names.empty() && std::ssize(view.names) != n)
    user_error("{} names for {} variables: expected one per variable", view.names.size(), n);
  const MatrixView& series = view.series;
  if (series.rows == 0) return;
  if (series.rows != n || series.columns < 1 || std::ssize(series.values) / n != series.columns ||
      std::ssize(series.values) % n != 0) {
    user_error(
        "a series of {} variables, {} observations and {} values does not match a covariance of {} "
        "variables",
        series.rows, series.columns, series.values.size(), n);
  }
  if (!view.weights.empty() && std::ssize(view.weights) != series.columns)
    user_error("{} weights for {} observations: expected one per observation", view.weights.size(),
               series.columns);
}

bool correlations_first(const CovarianceView& view) {
  const Covariance& found = *view.covariance;
  if (view.correlations) return *view.correlations;
  if (found.variables > kMaxWithNumbers || !found.scaled.empty()) return true;
  double smallest = std::numeric_limits<double>::infinity(), largest = 0;
  for (int64_t i = 0; i < found.variables; ++i) {
    const double deviation = std::sqrt(found.at(i, i));
    largest = std::max(largest, deviation);
    if (deviation > 0) smallest = std::min(smallest, deviation);
  }
  return largest > kMaxRatio * smallest;
}

/// "height and weight go together: ..." in two sentences.
std::string in_words(const Covariance& found, double correlation, const VariablePair& pair,
                     const std::vector<std::string>& names) {
  if (correlation == 0) return "No two variables vary together: every correlation is 0.";
  const double value = found.at(pair.i, pair.j);
  const bool in_range = std::isfinite(value) && value != 0;
  return fmt::format(
      "The strongest pair of variables is {} and {}, with a correlation of {:+.4f}: where one is "
      "above its mean, the other tends to be {} its own. Their covariance {}.",
      printable(names[static_cast<size_t>(pair.i)]), printable(names[static_cast<size_t>(pair.j)]),
      correlation, correlation > 0 ? "above" : "below",
      in_range
          ? fmt::format("is {:+.6g}, of the same sign, in the unit of one times that of the other",
                        value)
          : "has the same sign and is outside the range of float64");
}

/// Up to nine characters.
std::string cell_text(double value, bool sign) {
  std::string text;
  for (int digits = 4; digits > 0; --digits) {
    text = fmt::format(fmt::runtime(sign ? "{:+.{}g}" : "{:.{}g}"), value, digits);
    if (text.size() <= 9) break;
  }
  return text;
}

HeatPanel panel(const Result& result, const std::vector<std::string>& names,
                const std::vector<double>& values, bool correlations) {
  HeatPanel panel{.title = result.label,
                  .value_name = correlations ? "correlation" : "covariance",
                  .rows = column_of(names, printable),
                  .columns = column_of(names, printable),
                  .values = values,
                  .kind = HeatPanel::Kind::kDiverging,
                  .limit = correlations ? 1 : largest_size(values),
                  .below = "opposite ways",
                  .above = "the same way",
                  .numbers = true,
                  .names_at_right = true,
                  .cells = correlations ? "correlations, from -1 to +1"
                                        : "on the diagonal: variances; off it: covariances with "
                                          "their sign"};
  const size_t n = names.size();
  for (size_t at = 0; at < n * n && static_cast<int64_t>(n) <= kMaxWithNumbers; ++at)
    panel.texts.push_back(std::isnan(values[at]) ? "" : cell_text(values[at], at % (n + 1) != 0));
  return panel;
}

void add_panels(Result& result, const Covariance& found, const std::vector<double>& correlations,
                const std::vector<std::string>& names, bool first) {
  if (found.variables > kMaxDrawn) return;
  if (first) result.panels.emplace_back(panel(result, names, correlations, true));
  if (!first || (found.variables <= kMaxWithNumbers && found.scaled.empty()))
    result.panels.emplace_back(panel(result, names, found.values, false));
}

void add_components(Result& result, const PrincipalComponents& found) {
  result.axes.push_back({"eigenvalue", numbered(found.eigenvalues.size(), 1), true});
  result.axes.push_back({"component", numbered(static_cast<size_t>(found.count), 1), true});
  result.tables.push_back({"eigenvalues", {"eigenvalue"}, {{"", found.eigenvalues}}});
  result.tables.push_back({"explained", {"eigenvalue"}, {{"", found.explained}}});
  result.tables.push_back({"components", {"component", "variable"}, {{"", found.components}}});
}

void add_pairs(Result& result, const Covariance& found, const std::vector<double>& correlations,
               const std::vector<VariablePair>& pairs, const std::vector<std::string>& names) {
  std::vector<JsonValue> variables;
  std::vector<int64_t> indices;
  std::vector<double> covariance, correlation;
  for (const auto& [i, j] : pairs) {
    variables.emplace_back(
        std::vector{names[static_cast<size_t>(i)], names[static_cast<size_t>(j)]});
    indices.insert(indices.end(), {i, j});
    covariance.push_back(found.at(i, j));
    correlation.push_back(correlations[static_cast<size_t>(i * found.variables + j)]);
  }
  result.axes.push_back({"pair", numbered(pairs.size()), true});
  result.axes.push_back({"end", numbered(2), true});
  result.tables.push_back({.name = "",
                           .parts = {{"strongest",
                                      {"pair"},
                                      {{"variables", std::move(variables)},
                                       {"covariance", std::move(covariance)},
                                       {"correlation", std::move(correlation)}},
                                      {{"indices", {"end"}, {{"", std::move(indices)}}}}}}});
}

/// All observations for JSON, an even selection of them for the page.
void add_series(Result& result, const CovarianceView& view) {
  const MatrixView& series = view.series;
  const auto row = [&](int64_t variable) {
    return series.values.subspan(static_cast<size_t>(variable * series.columns),
                                 static_cast<size_t>(series.columns));
  };
  std::vector<JsonValue> all;
  for (int64_t i = 0; i < series.rows; ++i) all.emplace_back(row(i));
  result.tables.push_back({"series", {"variable"}, {{"values", std::move(all)}}});
  const int64_t shown = std::min(
      {series.columns, kMaxObservations, std::max<int64_t>(2, kMaxSeriesNumbers / series.rows)});
  std::vector<int64_t> observations;
  for (int64_t i = 0; i < shown; ++i) observations.push_back(i * series.columns / shown);
  std::vector<double> values, weights;
  for (int64_t i = 0; i < series.rows; ++i) {
    for (const int64_t at : observations) values.push_back(row(i)[static_cast<size_t>(at)]);
  }
  for (const int64_t at : observations)
    weights.push_back(view.weights.empty() ? 1 : view.weights[static_cast<size_t>(at)]);
  result.shown["series_total"] = series.columns;
  result.lists = {{"series_observation", std::move(observations)},
                  {"series_value", std::move(values)},
                  {"series_weight", std::move(weights)}};
}

/// Throws Error (user) for a view of more than `most` variables.
void check_size(const CovarianceView& view, int64_t most, const char* of) {
  const int64_t n = view.covariance ? view.covariance->variables : 0;
  if (n > most)
    user_error("a {} of a covariance is limited to {} variables, not {}: select fewer variables",
               of, most, n);
}

/// Throws Error (user) for covariances that are only known with a scale of their own.
void check_range(const CovarianceView& view, const char* of) {
  if (view.covariance && !view.covariance->scaled.empty())
    user_error(
        "the squares of some variables are outside the range of float64, which a covariance {} "
        "cannot show: multiply them, to be between 1e-150 and 1e150",
        of);
}

}  // namespace

Result internal::covariance_result(const CovarianceView& view, size_t pairs) {
  check(view);
  const Covariance& found = *view.covariance;
  const auto n = static_cast<size_t>(found.variables);
  const std::vector<std::string> names =
      view.names.empty() ? column_of(numbered(n), [](int i) { return std::to_string(i); })
                         : view.names;
  const std::vector<double> correlations = correlation(found);
  std::vector<int64_t> halves(n);  // what is below the diagonal says all
  for (size_t i = 0; i < n; ++i) halves[i] = static_cast<int64_t>(i) + 1;
  const bool first = correlations_first(view);
  Result result{
      .view = "covariance",
      .title = "Covariance",
      .help =
          "A cell says how two variables vary together: blue where they go the same way, orange "
          "where one goes up as the other goes down. The diagonal of covariances holds variances. "
          "Point at a cell to see what it is made of.",
      .label = view.title.empty()
                   ? fmt::format("{} variables, {} observations", n, found.observations)
                   : printable(view.title),
      .facts = {{"name", view.title},
                {"observations", found.observations},
                {"weight", found.weight},
                {"ddof", found.ddof},
                {"divisor", found.divisor},
                {"constant", constant_variables(found)},
                {"in_words", nullptr}},
      .shown = {{"correlations", first}, {"weighted", !view.weights.empty()}},
      .axes = {{"variable", names}, {"row", names, true}, {"column", names, true, halves}},
      .tables = {{.name = "variables", .axes = {"variable"}},
                 {"mean", {"variable"}, {{"", found.mean}}}},
      .cells = {"row", "column"}};
  auto strongest = strongest_pairs(correlations, found.variables, std::max<size_t>(pairs, 1));
  if (!strongest.empty()) {
    const auto& [i, j] = strongest[0];
    result.facts["in_words"] = in_words(
        found, correlations[static_cast<size_t>(i * found.variables + j)], strongest[0], names);
  }
  strongest.resize(std::min(strongest.size(), pairs));
  add_pairs(result, found, correlations, strongest, names);
  if (view.components) add_components(result, *view.components);
  if (view.series.rows > 0) add_series(result, view);
  add_panels(result, found, correlations, names, first);
  result.tables.push_back({"covariance", {"row", "column"}, {{"", found.values}}});
  result.tables.push_back({"correlation", {"row", "column"}, {{"", correlations}}});
  return result;
}

void internal::check_covariance_page(std::span<const CovarianceView> views) {
  check_results(views.size(), "covariance");
  int64_t cells = 0;
  for (const CovarianceView& view : views) {
    const int64_t n = view.covariance ? view.covariance->variables : 0;
    cells = n > kMaxMatrixCells ? kMaxMatrixCells + 1 : cells + n * n;
    if (cells > kMaxMatrixCells)
      user_error(
          "a covariance page is limited to {} cells, which those of {} variables exceed: select "
          "fewer variables",
          kMaxMatrixCells, n);
    check_range(view, "page");
  }
}

void internal::check_covariance_figure(std::span<const CovarianceView> views) {
  if (views.size() > kMaxFigurePanels)
    user_error("a figure is limited to {} matrices, not {}: use fewer sites", kMaxFigurePanels,
               views.size());
  for (const CovarianceView& view : views) {
    check_size(view, kMaxDrawn, "figure");
    if (view.correlations == false) check_range(view, "figure");
  }
}

std::string covariance_page(std::span<const CovarianceView> views, const PageSource& source) {
  check_covariance_page(views);
  return page_of(views, "covariance", source, [](const CovarianceView& view, const PageSource&) {
    return covariance_result(view, kListedPairs);
  });
}

std::string covariance_figure(std::span<const CovarianceView> views, FigureFormat format) {
  check_covariance_figure(views);
  return figure_of(views, {}, format, [](const CovarianceView& view, const PageSource&) {
    return covariance_result(view, 0);
  });
}

}  // namespace vitrine
