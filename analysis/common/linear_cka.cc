// SPDX-License-Identifier: MIT
#include "analysis/common/linear_cka.h"

#include <Eigen/Core>
#include <algorithm>
#include <limits>

namespace vitrine::internal {
namespace {

using Rows =
    Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

/// Inner products of the centred rows.
Eigen::MatrixXd gram(std::span<const float> values, int64_t rows, int64_t width) {
  Eigen::MatrixXd x = Rows(values.data(), rows, width).cast<double>();
  x.rowwise() -= x.colwise().mean().eval();
  return x * x.transpose();
}

}  // namespace

double linear_cka(std::span<const float> x, std::span<const float> y, int64_t rows, int64_t width) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  if (rows < 2) return kNaN;
  // |Y^T X|^2 is the sum of the products of both matrices' elements.
  const Eigen::MatrixXd a = gram(x, rows, width), b = gram(y, rows, width);
  const double size = a.norm() * b.norm();
  return size > 0 ? std::clamp(a.cwiseProduct(b).sum() / size, 0.0, 1.0) : kNaN;
}

}  // namespace vitrine::internal
