#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"

namespace vitrine {
namespace {

constexpr int64_t kMostVariables = 2048;
constexpr int64_t kMostObservations = 2000;
constexpr int64_t kMostNumbers = 1'000'000;  // of all series together

void check(const Covariance& result, const CovarianceSubject& subject) {
  const int64_t n = result.variables;
  if (n < 1) user_error("a covariance page needs one variable at least, not none");
  if (n > kMostVariables) user_error("a covariance page holds {} variables at most, not {}: narrow what they are taken from", kMostVariables, n);
  if (std::ssize(result.mean) != n || std::ssize(result.values) != n * n) {
    user_error("the covariance of {} variables has {} means and {} values", n, result.mean.size(), result.values.size());
  }
  if (!subject.names.empty() && std::ssize(subject.names) != n) user_error("{} names for {} variables", subject.names.size(), n);
  const MatrixView& series = subject.series;
  if (series.rows == 0) return;
  if (series.rows != n || series.columns < 1 || std::ssize(series.values) / n != series.columns || std::ssize(series.values) % n != 0) {
    user_error("a series of {} variables, {} observations and {} values for a covariance of {} variables", series.rows, series.columns, series.values.size(), n);
  }
  if (!subject.weights.empty() && std::ssize(subject.weights) != series.columns) user_error("{} weights for {} observations", subject.weights.size(), series.columns);
}

/// It is symmetric: half of it says all.
Json lower_triangle(const Covariance& result) {
  std::vector<double> lower;
  lower.reserve(static_cast<size_t>(result.variables * (result.variables + 1) / 2));
  for (int64_t i = 0; i < result.variables; ++i) {
    for (int64_t j = 0; j <= i; ++j) lower.push_back(result.at(i, j));
  }
  return packed(lower);
}

Json series_data(const CovarianceSubject& subject) {
  const MatrixView& series = subject.series;
  const int64_t shown = std::min({series.columns, kMostObservations, std::max<int64_t>(2, kMostNumbers / series.rows)});
  std::vector<int64_t> observations;
  for (int64_t i = 0; i < shown; ++i) observations.push_back(i * series.columns / shown);
  std::vector<double> values, weights;
  for (int64_t row = 0; row < series.rows; ++row) {
    for (const int64_t at : observations) values.push_back(series.values[static_cast<size_t>(row * series.columns + at)]);
  }
  for (const int64_t at : observations) weights.push_back(subject.weights.empty() ? 1 : subject.weights[static_cast<size_t>(at)]);
  return {{"all", series.columns}, {"observations", packed(observations)}, {"values", packed(values)}, {"weights", packed(weights)}};
}

Json components_data(const PrincipalComponents& found) {
  return {{"eigenvalues", packed(found.eigenvalues)}, {"explained", packed(found.explained)}, {"count", found.count}, {"components", packed(found.components)}};
}

}  // namespace

std::string covariance_page(const Covariance& result, const CovarianceSubject& subject, const PageSource& source) {
  check(result, subject);
  Json names = Json::array();
  for (int64_t i = 0; i < result.variables; ++i) names.push_back(subject.names.empty() ? std::to_string(i) : printable(subject.names[static_cast<size_t>(i)]));
  const TokenTable tokens(source.tokenizer);
  const std::string title = printable(subject.title);
  Page page{.kind = "covariance",
            .title = "Covariance",
            .subtitle = title.empty() ? fmt::format("{} variables, {} observations", result.variables, result.observations) : title,
            .help = "A cell says how two variables vary together: blue where they go the same way, orange where one goes up as the other goes "
                    "down. The diagonal holds variances. Point at a cell to see what it is made of."};
  page.results.push_back({{"label", page.subtitle},
                          {"names", std::move(names)},
                          {"observations", result.observations},
                          {"ddof", result.ddof},
                          {"weight", result.weight},
                          {"divisor", result.divisor},
                          {"mean", packed(result.mean)},
                          {"lower", lower_triangle(result)},
                          {"weighted", !subject.weights.empty()},
                          {"correlations", subject.correlations},
                          {"series", subject.series.rows == 0 ? Json(nullptr) : series_data(subject)},
                          {"components", subject.components ? components_data(*subject.components) : Json(nullptr)}});
  return render(page, tokens, source);
}

}  // namespace vitrine
