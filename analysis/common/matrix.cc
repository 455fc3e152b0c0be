// SPDX-License-Identifier: MIT
#include "analysis/common/matrix.h"

#include <algorithm>
#include <cmath>

namespace vitrine::internal {

void Matrix::add(std::span<const double> values) {
  for (size_t i = 0; i < values_.size(); ++i) values_[i] += values[i];
}

std::vector<double> Matrix::column_sums() const {
  std::vector<double> sums(static_cast<size_t>(columns_));
  for (int64_t i = 0; i < rows_; ++i) {
    const std::span<const double> x = row(i);
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += x[j];
  }
  return sums;
}

void Matrix::subtract_from_rows(std::span<const double> subtrahend) {
  for (int64_t i = 0; i < rows_; ++i) {
    const std::span<double> x = row(i);
    for (size_t j = 0; j < x.size(); ++j) x[j] -= subtrahend[j];
  }
}

void Matrix::subtract_column_means() {
  std::vector<double> means = column_sums();
  for (double& mean : means) mean /= static_cast<double>(rows_);
  subtract_from_rows(means);
}

void Matrix::scale_rows(std::span<const double> factors) {
  for (int64_t i = 0; i < rows_; ++i) {
    for (double& x : row(i)) x *= factors[static_cast<size_t>(i)];
  }
}

double sum(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum;
}

double dot(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

double norm(std::span<const double> x) { return std::sqrt(dot(x, x)); }

bool all_finite(std::span<const double> x) {
  return std::all_of(x.begin(), x.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace vitrine::internal
