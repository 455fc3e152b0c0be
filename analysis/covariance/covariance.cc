// SPDX-License-Identifier: MIT
#include "vitrine/analysis/covariance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "analysis/common/linalg.h"
#include "analysis/common/scale.h"
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

/// The weighted means. A constant variable's is its own value, where a mean of equal numbers may be
/// rounded: then no rounding is left as its variance.
std::vector<double> exact_mean(const Matrix& x, std::span<const double> w, double weight) {
  std::vector<double> mean = weighted_mean(x, w, weight);
  const auto seen = std::find_if(w.begin(), w.end(), [](double value) { return value > 0; });
  const std::span<const double> first = x.row(seen - w.begin());
  for (size_t j = 0; j < mean.size(); ++j) {
    bool constant = true;
    for (size_t i = 0; constant && i < w.size(); ++i)
      constant = w[i] == 0 || x.row(static_cast<int64_t>(i))[j] == first[j];
    if (constant) mean[j] = first[j];
  }
  return mean;
}

/// The matrix that correlations and components are computed of: with variables of one scale each,
/// 2^-exponents, if there are such, else the covariances themselves.
const std::vector<double>& scaled_values(const Covariance& covariance) {
  return covariance.scaled.empty() ? covariance.values : covariance.scaled;
}

/// The covariances of all variables times 2^-common.
std::vector<double> in_common_scale(const Covariance& covariance, int common) {
  std::vector<double> values = scaled_values(covariance);
  const std::vector<int>& e = covariance.exponents;
  for (size_t i = 0; i < e.size(); ++i) {
    for (size_t j = 0; j < e.size(); ++j)
      values[i * e.size() + j] = std::ldexp(values[i * e.size() + j], e[i] + e[j] - 2 * common);
  }
  return values;
}

/// From scaled values to values, which keeps both.
void unscale(Covariance& result, std::vector<int> exponents) {
  result.scaled = result.values;
  for (size_t i = 0; i < exponents.size(); ++i) {
    result.mean[i] = std::ldexp(result.mean[i], exponents[i]);
    for (size_t j = 0; j < exponents.size(); ++j) {
      double& value = result.values[i * exponents.size() + j];
      value = std::ldexp(value, exponents[i] + exponents[j]);
    }
  }
  result.exponents = std::move(exponents);
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
        "observations or a smaller `ddof`",
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
  std::vector<int> exponents = scale_columns(x);
  result.mean = exact_mean(x, weights.w, result.weight);
  x.subtract_from_rows(result.mean);
  Matrix weighted = x;
  weighted.scale_rows(weights.w);
  Matrix products = product(x.t(), weighted);
  mirror_lower(products);
  for (const double value : products.values()) result.values.push_back(value / result.divisor);
  if (any_scaled(exponents)) unscale(result, std::move(exponents));
  return result;
}

Covariance covariance(const MatrixView& m, const CovarianceOptions& options) {
  return covariance(m, MatrixView(), options);
}

std::vector<double> correlation(const Covariance& covariance) {
  const auto n = static_cast<size_t>(covariance.variables);
  const std::vector<double>& values = scaled_values(covariance);
  std::vector<double> result(values.size());
  for (size_t i = 0; i < n; ++i) {
    const double deviation = std::sqrt(values[i * n + i]);
    for (size_t j = 0; j < n; ++j) {
      // NaN passes through clamp, where 0 / 0 has left one.
      const double value = values[i * n + j] / deviation / std::sqrt(values[j * n + j]);
      result[i * n + j] = std::isfinite(value) ? std::clamp(value, -1.0, 1.0)
                                               : std::numeric_limits<double>::quiet_NaN();
    }
  }
  return result;
}

PrincipalComponents principal_components(const Covariance& covariance, int64_t count) {
  const int64_t n = covariance.variables;
  const std::vector<int>& exponents = covariance.exponents;
  const int common = exponents.empty() ? 0 : *std::max_element(exponents.begin(), exponents.end());
  const std::vector<double> scaled =
      exponents.empty() ? std::vector<double>() : in_common_scale(covariance, common);
  const std::vector<double>& values = exponents.empty() ? covariance.values : scaled;
  if (!all_finite(values))
    user_error(
        "the covariance matrix contains NaN or infinity, so it has no eigenvalues: expected finite "
        "data");
  PrincipalComponents result;
  result.count = count < 0 ? n : std::min(count, n);
  SymmetricEigen eigen = symmetric_eigen({values.data(), n, n, n, 1}, result.count > 0);
  if (!eigen.converged)
    internal_error("the eigenvalues of a covariance matrix of {} variables did not converge", n);
  result.eigenvalues = std::move(eigen.values);
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += values[static_cast<size_t>(i * n + i)];
  for (double& value : result.eigenvalues) {
    result.explained.push_back(total > 0 ? value / total : 0.0);
    value = std::ldexp(value, 2 * common);
  }
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
