// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int64_t kMostCells = int64_t{2048} * 2048;
constexpr int64_t kMostObservations = 2000;
constexpr int64_t kMaxSeriesNumbers = 1'000'000;  // of all series together

void check(const CovarianceView& view) {
  if (!view.covariance || view.covariance->variables < 1)
    user_error("missing variables of a covariance page: expected at least one");
  const int64_t n = view.covariance->variables;
  if (n > kMostCells / n)
    user_error(
        "a covariance page is limited to {} cells, not those of {} variables: select fewer "
        "variables",
        kMostCells, n);
  if (std::ssize(view.covariance->mean) != n || std::ssize(view.covariance->values) != n * n) {
    user_error("the covariance of {} variables has {} means and {} values", n,
               view.covariance->mean.size(), view.covariance->values.size());
  }
  if (!view.covariance->scaled.empty())
    user_error(
        "the squares of some variables are outside the range of float64, which a covariance page "
        "cannot show: multiply them, to be between 1e-150 and 1e150");
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

void check(std::span<const CovarianceView> views) {
  int64_t cells = 0;
  for (const CovarianceView& view : views) {
    check(view);
    cells += view.covariance->variables * view.covariance->variables;
  }
  if (cells > kMostCells)
    user_error(
        "a covariance page is limited to {} cells, not the {} of all its matrices: select fewer "
        "variables",
        kMostCells, cells);
}

/// It is symmetric: half of it says all.
JsonValue lower_triangle(const Covariance& result) {
  std::vector<double> lower;
  lower.reserve(static_cast<size_t>(result.variables * (result.variables + 1) / 2));
  for (int64_t i = 0; i < result.variables; ++i) {
    for (int64_t j = 0; j <= i; ++j) lower.push_back(result.at(i, j));
  }
  return packed(lower);
}

JsonValue series_data(const CovarianceView& view) {
  const MatrixView& series = view.series;
  const int64_t shown = std::min(
      {series.columns, kMostObservations, std::max<int64_t>(2, kMaxSeriesNumbers / series.rows)});
  std::vector<int64_t> observations;
  for (int64_t i = 0; i < shown; ++i) observations.push_back(i * series.columns / shown);
  std::vector<double> values, weights;
  for (int64_t row = 0; row < series.rows; ++row) {
    for (const int64_t at : observations)
      values.push_back(series.values[static_cast<size_t>(row * series.columns + at)]);
  }
  for (const int64_t at : observations)
    weights.push_back(view.weights.empty() ? 1 : view.weights[static_cast<size_t>(at)]);
  return {{"all", series.columns},
          {"observations", packed(observations)},
          {"values", packed(values)},
          {"weights", packed(weights)}};
}

JsonValue components_data(const PrincipalComponents& found) {
  return {{"eigenvalues", packed(found.eigenvalues)},
          {"explained", packed(found.explained)},
          {"count", found.count},
          {"components", packed(found.components)}};
}

JsonValue view_data(const CovarianceView& view) {
  const Covariance& found = *view.covariance;
  const std::string title = printable(view.title);
  JsonValue names = JsonValue::array();
  for (int64_t i = 0; i < found.variables; ++i)
    names.push_back(view.names.empty() ? std::to_string(i)
                                       : printable(view.names[static_cast<size_t>(i)]));
  return {{"label", title.empty() ? fmt::format("{} variables, {} observations", found.variables,
                                                found.observations)
                                  : title},
          {"names", std::move(names)},
          {"observations", found.observations},
          {"ddof", found.ddof},
          {"weight", found.weight},
          {"divisor", found.divisor},
          {"mean", packed(found.mean)},
          {"lower", lower_triangle(found)},
          {"weighted", !view.weights.empty()},
          {"correlations", view.correlations},
          {"series", view.series.rows == 0 ? JsonValue(nullptr) : series_data(view)},
          {"components", view.components ? components_data(*view.components) : JsonValue(nullptr)}};
}

}  // namespace

std::string covariance_page(std::span<const CovarianceView> results, const PageSource& source) {
  check_results(results.size(), "covariance");
  check(results);
  const TokenTable tokens(source.tokenizer);
  Page page{.kind = "covariance",
            .title = "Covariance",
            .subtitle = {},
            .help =
                "A cell says how two variables vary together: blue where they go the same way, "
                "orange where one goes up as the other goes "
                "down. The diagonal holds variances. Point at a cell to see what it is made of."};
  for (const CovarianceView& view : results) page.results.push_back(view_data(view));
  page.subtitle = page.results.front()["label"].text();
  return render(page, tokens, source);
}

}  // namespace vitrine
