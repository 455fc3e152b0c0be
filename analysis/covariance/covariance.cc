// SPDX-License-Identifier: MIT
#include "vitrine/analysis/covariance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "analysis/common/linalg.h"
#include "analysis/covariance/weights.h"
#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

void check_matrix(const MatrixView& m, const char* name) {
  const bool fits = m.rows >= 0 && m.columns >= 0 &&
                    (m.columns == 0 || m.rows <= std::numeric_limits<int64_t>::max() / m.columns) &&
                    m.rows * m.columns == static_cast<int64_t>(m.values.size());
  if (!fits)
    user_error("{} is declared as {} x {}, but has {} numbers", name, m.rows, m.columns,
               m.values.size());
}

/// The observations as rows, the variables of m and then those of y as columns.
Matrix observations(const MatrixView& m, const MatrixView& y, bool rowvar) {
  const auto variables_of = [&](const MatrixView& view) {
    return rowvar ? view.rows : view.columns;
  };
  const auto count_of = [&](const MatrixView& view) { return rowvar ? view.columns : view.rows; };
  const int64_t variables = variables_of(m), count = count_of(m),
                more = y.values.empty() ? 0 : variables_of(y);
  if (variables == 0)
    user_error("the matrix has no variables: expected at least one {}", rowvar ? "row" : "column");
  if (more > 0 && count_of(y) != count)
    user_error("y has {} observations: expected {}, as m", count_of(y), count);
  Matrix x(count, variables + more);
  const auto fill = [&](const MatrixView& view, int64_t first) {
    for (int64_t i = 0; i < count_of(view); ++i) {
      for (int64_t j = 0; j < variables_of(view); ++j) {
        x(i, first + j) =
            view.values[static_cast<size_t>(rowvar ? j * view.columns + i : i * view.columns + j)];
      }
    }
  };
  fill(m, 0);
  if (more > 0) fill(y, variables);
  return x;
}

}  // namespace

ObservationWeights internal::observation_weights(int64_t count, std::span<const int64_t> fweights,
                                                 std::span<const double> aweights) {
  const auto check_count = [&](size_t given, const char* name) {
    if (given != 0 && static_cast<int64_t>(given) != count)
      user_error("{} {} for {} observations: expected one per observation", given, name, count);
  };
  check_count(fweights.size(), "fweights");
  check_count(aweights.size(), "aweights");
  ObservationWeights weights{std::vector<double>(static_cast<size_t>(count), 1.0),
                             std::vector<double>(static_cast<size_t>(count), 1.0)};
  for (size_t i = 0; i < weights.w.size(); ++i) {
    if (!fweights.empty()) {
      if (fweights[i] < 0)
        user_error("the fweight {} of observation {} is negative: expected 0 or more", fweights[i],
                   i);
      weights.w[i] = static_cast<double>(fweights[i]);
    }
    if (!aweights.empty()) {
      if (!(aweights[i] >= 0) || std::isinf(aweights[i]))
        user_error("invalid aweight {} of observation {}: expected a finite number >= 0",
                   aweights[i], i);
      weights.w[i] *= aweights[i];
    }
    weights.wa[i] = weights.w[i] * (aweights.empty() ? 1.0 : aweights[i]);
  }
  return weights;
}

std::vector<double> internal::weighted_mean(const Matrix& x, std::span<const double> w,
                                            double weight) {
  std::vector<double> mean(static_cast<size_t>(x.columns()));
  for (size_t i = 0; i < w.size(); ++i) {
    const std::span<const double> row = x.row(static_cast<int64_t>(i));
    for (size_t j = 0; j < mean.size(); ++j) mean[j] += w[i] * row[j];
  }
  for (double& value : mean) value /= weight;
  return mean;
}

double internal::covariance_divisor(double weight, double weight_a, int64_t ddof) {
  if (!(weight > 0)) user_error("missing observations with a weight > 0: expected at least one");
  // Without aweights weight_a is weight, and this N - ddof (or the sum of the fweights - ddof) to
  // the bit.
  const double divisor =
      ddof == 0 ? weight : weight - static_cast<double>(ddof) * (weight_a / weight);
  if (!(divisor > 0)) {
    user_error(
        "the divisor of the covariance is {} (total weight {}, ddof {}): expected > 0; use more "
        "observations or a smaller ddof",
        divisor, weight, ddof);
  }
  return divisor;
}

Covariance covariance(const MatrixView& m, const MatrixView& y, const CovarianceOptions& options) {
  check_matrix(m, "m");
  check_matrix(y, "y");
  Matrix x = observations(m, y, options.rowvar);
  const auto weights = observation_weights(x.rows(), options.fweights, options.aweights);

  Covariance result;
  result.variables = x.columns();
  result.observations = x.rows();
  result.ddof = options.ddof.value_or(options.bias ? 0 : 1);
  result.weight = sum(weights.w);
  result.divisor = covariance_divisor(
      result.weight, std::accumulate(weights.wa.begin(), weights.wa.end(), 0.0), result.ddof);
  result.mean = weighted_mean(x, weights.w, result.weight);
  x.subtract_from_rows(result.mean);
  Matrix weighted = x;
  weighted.scale_rows(weights.w);
  Matrix products = product(x.t(), weighted);
  mirror_lower(products);
  for (const double value : products.values()) result.values.push_back(value / result.divisor);
  return result;
}

Covariance covariance(const MatrixView& m, const CovarianceOptions& options) {
  return covariance(m, MatrixView(), options);
}

std::vector<double> correlation(const Covariance& covariance) {
  const int64_t n = covariance.variables;
  std::vector<double> result(covariance.values.size());
  for (int64_t i = 0; i < n; ++i) {
    const double deviation = std::sqrt(covariance.at(i, i));
    for (int64_t j = 0; j < n; ++j) {
      // NaN passes through clamp, where 0 / 0 has left one.
      const double value = covariance.at(i, j) / deviation / std::sqrt(covariance.at(j, j));
      result[static_cast<size_t>(i * n + j)] = std::isfinite(value)
                                                   ? std::clamp(value, -1.0, 1.0)
                                                   : std::numeric_limits<double>::quiet_NaN();
    }
  }
  return result;
}

PrincipalComponents principal_components(const Covariance& covariance, int64_t count) {
  const int64_t n = covariance.variables;
  if (!all_finite(covariance.values))
    user_error(
        "the covariance matrix contains NaN or infinity, so it has no eigenvalues: expected finite "
        "data");
  PrincipalComponents result;
  result.count = count < 0 ? n : std::min(count, n);
  SymmetricEigen eigen = symmetric_eigen({covariance.values.data(), n, n, n, 1}, result.count > 0);
  if (!eigen.converged)
    internal_error("the eigenvalues of a covariance matrix of {} variables did not converge", n);
  result.eigenvalues = std::move(eigen.values);
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += covariance.at(i, i);
  for (const double value : result.eigenvalues)
    result.explained.push_back(total > 0 ? value / total : 0.0);
  for (int64_t i = 0; i < result.count; ++i) {
    const std::span<const double> vector = std::as_const(eigen.vectors).row(i);
    const double largest = *std::max_element(
        vector.begin(), vector.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
    const double sign = largest < 0 ? -1.0 : 1.0;
    for (const double element : vector) result.components.push_back(sign * element);
  }
  return result;
}

}  // namespace vitrine
