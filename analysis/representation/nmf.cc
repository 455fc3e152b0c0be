// SPDX-License-Identifier: MIT
#include "analysis/representation/nmf.h"

#include <algorithm>
#include <cmath>

#include "analysis/common/decompositions.h"
#include "base/random.h"

namespace vitrine::internal {
namespace {

using Matrix = Eigen::MatrixXd;
constexpr Eigen::Index kRowsAtOnce = 64;  // X is widened a few rows at a time, never whole
// A gradient is the difference of two products; below this part of them it has no digits. A start
// from singular vectors may be the minimum itself, of which no share is left to fall.
constexpr double kNoDigits = 1e-13;

/// X B, [N, C].
Matrix times(const NonNegative& x, const Matrix& b) {
  Matrix product(x.rows(), b.cols());
  for (Eigen::Index at = 0; at < x.rows(); at += kRowsAtOnce) {
    const Eigen::Index rows = std::min(kRowsAtOnce, x.rows() - at);
    product.middleRows(at, rows).noalias() = x.middleRows(at, rows).cast<double>() * b;
  }
  return product;
}

/// X^T A, [M', C].
Matrix transposed_times(const NonNegative& x, const Matrix& a) {
  Matrix product = Matrix::Zero(x.cols(), a.cols());
  for (Eigen::Index at = 0; at < x.rows(); at += kRowsAtOnce) {
    const Eigen::Index rows = std::min(kRowsAtOnce, x.rows() - at);
    product.noalias() += x.middleRows(at, rows).cast<double>().transpose() * a.middleRows(at, rows);
  }
  return product;
}

/// One round over the entries of `side`, `other` being the other side and `product` X (or X^T)
/// times it. Returns the sum of the projected gradients' sizes.
double descend(Matrix& side, const Matrix& other, const Matrix& product) {
  const Matrix gram = other.transpose() * other;
  double violation = 0;
  for (Eigen::Index c = 0; c < side.cols(); ++c) {
    const Eigen::VectorXd gradient = side * gram.col(c) - product.col(c);
    for (Eigen::Index i = 0; i < side.rows(); ++i) {
      double& entry = side(i, c);
      const double g = gradient(i);
      violation += std::abs(entry == 0 ? std::min(g, 0.0) : g);
      if (gram(c, c) != 0) entry = std::max(entry - g / gram(c, c), 0.0);
    }
  }
  return violation;
}

void start_randomly(const NonNegative& x, const NmfOptions& options, Nmf& found) {
  const double mean = x.cast<double>().sum() / static_cast<double>(x.size());
  const double size = std::sqrt(mean / options.components);
  uint64_t index = 0;
  for (Matrix* side : {&found.neurons, &found.strengths}) {
    for (double& entry : side->reshaped())
      entry = size * std::abs(standard_normal(mix64(options.seed), index++));
  }
}

/// The leading singular vectors and values, by the smaller of X X^T and X^T X.
void singular_vectors(const NonNegative& x, Eigen::Index count, Matrix& left,
                      Eigen::VectorXd& values, Matrix& right) {
  const bool wide = x.rows() <= x.cols();
  const Eigen::Index size = std::min(x.rows(), x.cols());
  Matrix gram(size, size);
  if (wide) {
    for (Eigen::Index at = 0; at < size; at += kRowsAtOnce) {
      const Eigen::Index rows = std::min(kRowsAtOnce, size - at);
      gram.middleCols(at, rows) = times(x, x.middleRows(at, rows).cast<double>().transpose());
    }
  } else {
    gram.setZero();
    for (Eigen::Index at = 0; at < x.rows(); at += kRowsAtOnce) {
      const Matrix rows = x.middleRows(at, std::min(kRowsAtOnce, x.rows() - at)).cast<double>();
      gram.noalias() += rows.transpose() * rows;
    }
  }
  const SymmetricEigen eigen = symmetric_eigen(gram);
  values = eigen.values.reverse().head(count).cwiseMax(0.0).cwiseSqrt();
  const Matrix own = eigen.vectors.rowwise().reverse().leftCols(count);
  Matrix partner = wide ? transposed_times(x, own) : times(x, own);
  for (Eigen::Index c = 0; c < count; ++c) partner.col(c) *= values(c) > 0 ? 1 / values(c) : 0;
  left = wide ? own : partner;
  right = wide ? partner : own;
}

/// Boutsidis & Gallopoulos 2008: of each pair of singular vectors the half, positive or negative,
/// that weighs more.
void start_from_singular_vectors(const NonNegative& x, Nmf& found) {
  constexpr double kNone = 1e-6;  // as scikit-learn: what is smaller starts at 0
  Matrix left, right;
  Eigen::VectorXd values;
  singular_vectors(x, found.strengths.cols(), left, values, right);
  for (Eigen::Index c = 0; c < left.cols(); ++c) {
    Eigen::VectorXd u = left.col(c).cwiseMax(0.0), v = right.col(c).cwiseMax(0.0);
    const Eigen::VectorXd u_below = (-left.col(c)).cwiseMax(0.0),
                          v_below = (-right.col(c)).cwiseMax(0.0);
    if (u_below.norm() * v_below.norm() > u.norm() * v.norm()) {
      u = u_below;
      v = v_below;
    }
    const double weight = u.norm() * v.norm();
    if (weight == 0) continue;
    const double size = std::sqrt(values(c) * weight);
    const auto cut = [](double entry) { return entry < kNone ? 0.0 : entry; };
    found.strengths.col(c) = (size * u / u.norm()).unaryExpr(cut);
    found.neurons.col(c) = (size * v / v.norm()).unaryExpr(cut);
  }
}

/// Row by row: as a difference of large sums it would lose its digits where the fit is good.
double relative_residual(const NonNegative& x, const Nmf& found) {
  double rest = 0, whole = 0;
  for (Eigen::Index at = 0; at < x.rows(); at += kRowsAtOnce) {
    const Eigen::Index rows = std::min(kRowsAtOnce, x.rows() - at);
    const Matrix some = x.middleRows(at, rows).cast<double>();
    rest += (some - found.strengths.middleRows(at, rows) * found.neurons.transpose()).squaredNorm();
    whole += some.squaredNorm();
  }
  return std::sqrt(rest / whole);
}

}  // namespace

Nmf factorise(const NonNegative& x, const NmfOptions& options) {
  Nmf found;
  found.strengths = Matrix::Zero(x.rows(), options.components);
  found.neurons = Matrix::Zero(x.cols(), options.components);
  if (options.init == FactorInit::kRandom)
    start_randomly(x, options, found);
  else
    start_from_singular_vectors(x, found);
  double first = 0;
  while (found.iterations < options.max_iterations && !found.converged) {
    const Matrix forward = times(x, found.neurons);
    double violation = descend(found.strengths, found.neurons, forward);
    const Matrix back = transposed_times(x, found.strengths);
    violation += descend(found.neurons, found.strengths, back);
    if (++found.iterations == 1) first = violation;
    found.converged =
        violation <= std::max(options.tolerance * first, kNoDigits * (forward.sum() + back.sum()));
    if (options.see) options.see(found.iterations);
  }
  found.relative_residual = relative_residual(x, found);
  return found;
}

}  // namespace vitrine::internal
