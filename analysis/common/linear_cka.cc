// SPDX-License-Identifier: MIT
#include "analysis/common/linear_cka.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "analysis/common/linalg.h"

namespace vitrine::internal {

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
}  // namespace

Matrix centred_kernel(Matrix rows) {
  rows.subtract_column_means();
  return product(rows, rows.t());
}

Matrix cka_kernel(Matrix rows) {
  Matrix kernel = centred_kernel(std::move(rows));
  const double size = norm(kernel.values());
  for (double& x : kernel.values()) x = size > 0 ? x / size : kNaN;
  return kernel;
}

double linear_cka(const Matrix& kernel_x, const Matrix& kernel_y) {
  if (kernel_x.rows() < 2) return kNaN;
  // |Y^T X|^2 is the sum of the products of both kernels' elements. NaN passes through clamp.
  return std::clamp(dot(kernel_x.values(), kernel_y.values()), 0.0, 1.0);
}

double linear_cka(std::span<const float> x, std::span<const float> y, int64_t rows, int64_t width) {
  return linear_cka(cka_kernel({x, rows, width}), cka_kernel({y, rows, width}));
}

}  // namespace vitrine::internal
