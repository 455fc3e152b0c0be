// SPDX-License-Identifier: MIT
#include "vitrine/analysis/covariance.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "analysis/common/decompositions.h"
#include "analysis/covariance/weights.h"
#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void check_matrix(const MatrixView& m, const char* name) {
  const bool fits = m.rows >= 0 && m.columns >= 0 &&
                    (m.columns == 0 || m.rows <= std::numeric_limits<int64_t>::max() / m.columns) &&
                    m.rows * m.columns == static_cast<int64_t>(m.values.size());
  if (!fits)
    user_error("{} is said to be {} x {} and holds {} numbers", name, m.rows, m.columns,
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
    user_error("the matrix has no variables; give one {} at least", rowvar ? "row" : "column");
  if (more > 0 && count_of(y) != count)
    user_error("y has {} observations and m has {}; they must be as many", count_of(y), count);
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
      user_error("there are {} {} for {} observations", given, name, count);
  };
  check_count(fweights.size(), "fweights");
  check_count(aweights.size(), "aweights");
  ObservationWeights weights{std::vector<double>(static_cast<size_t>(count), 1.0),
                             std::vector<double>(static_cast<size_t>(count), 1.0)};
  for (size_t i = 0; i < weights.w.size(); ++i) {
    if (!fweights.empty()) {
      if (fweights[i] < 0)
        user_error("the fweight {} of observation {} is negative", fweights[i], i);
      weights.w[i] = static_cast<double>(fweights[i]);
    }
    if (!aweights.empty()) {
      if (!(aweights[i] >= 0) || std::isinf(aweights[i]))
        user_error("the aweight {} of observation {} is negative or not finite", aweights[i], i);
      weights.w[i] *= aweights[i];
    }
    weights.wa[i] = weights.w[i] * (aweights.empty() ? 1.0 : aweights[i]);
  }
  return weights;
}

double internal::covariance_divisor(double weight, double weight_a, int64_t ddof) {
  if (!(weight > 0))
    user_error(
        "the weights of all observations are 0, or there are none; a covariance needs one at "
        "least");
  // Without aweights weight_a is weight, and this N - ddof (or the sum of the fweights - ddof) to
  // the bit.
  const double divisor =
      ddof == 0 ? weight : weight - static_cast<double>(ddof) * (weight_a / weight);
  if (!(divisor > 0)) {
    user_error(
        "the divisor of the covariance is {}: observations that weigh {} in all, ddof {}; give "
        "more of them or a smaller ddof",
        divisor, weight, ddof);
  }
  return divisor;
}

Covariance covariance(const MatrixView& m, const MatrixView& y, const CovarianceOptions& options) {
  check_matrix(m, "m");
  check_matrix(y, "y");
  Matrix x = observations(m, y, options.rowvar);
  const auto weights = observation_weights(x.rows(), options.fweights, options.aweights);
  const Eigen::Map<const Eigen::VectorXd> w(weights.w.data(), x.rows());

  Covariance result;
  result.variables = x.cols();
  result.observations = x.rows();
  result.ddof = options.ddof.value_or(options.bias ? 0 : 1);
  result.weight = w.sum();
  result.divisor = covariance_divisor(
      result.weight, std::accumulate(weights.wa.begin(), weights.wa.end(), 0.0), result.ddof);
  const Eigen::RowVectorXd mean = (w.transpose() * x) / result.weight;
  result.mean.assign(mean.data(), mean.data() + mean.size());
  x.rowwise() -= mean;
  const Matrix weighted = w.asDiagonal() * x;
  Matrix products = (x.transpose() * weighted) / result.divisor;
  products.triangularView<Eigen::StrictlyUpper>() = products.transpose();
  result.values.assign(products.data(), products.data() + products.size());
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
  const Eigen::Map<const Matrix> matrix(covariance.values.data(), n, n);
  if (!matrix.allFinite())
    user_error(
        "the covariance matrix has a NaN or an infinity, so it has no eigenvalues; look for one in "
        "the data");
  PrincipalComponents result;
  result.count = count < 0 ? n : std::min(count, n);
  const SymmetricEigen eigen = symmetric_eigen(matrix, result.count > 0);
  if (!eigen.converged)
    internal_error("the eigenvalues of a covariance matrix of {} variables did not converge", n);
  const double total = matrix.trace();
  for (int64_t i = 0; i < n; ++i) {  // Eigen's ascend
    result.eigenvalues.push_back(eigen.values[n - 1 - i]);
    result.explained.push_back(total > 0 ? result.eigenvalues.back() / total : 0.0);
  }
  for (int64_t i = 0; i < result.count; ++i) {
    const Eigen::VectorXd vector = eigen.vectors.col(n - 1 - i);
    Eigen::Index largest = 0;
    vector.cwiseAbs().maxCoeff(&largest);
    const double sign = vector[largest] < 0 ? -1.0 : 1.0;
    for (const double element : vector) result.components.push_back(sign * element);
  }
  return result;
}

}  // namespace vitrine
