// SPDX-License-Identifier: MIT
#include "analysis/representation/nmf.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "analysis/common/linalg.h"
#include "base/random.h"

namespace vitrine::internal {
namespace {

constexpr int64_t kRowsAtOnce = 64;  // X is widened a few rows at a time, never whole
// A gradient is the difference of two products; below this part of them it has no digits. A start
// from singular vectors may be the minimum itself, of which no share is left to fall.
constexpr double kNoDigits = 1e-13;

/// Calls `see(first, rows)` for a few rows at a time, widened.
template <typename See>
void in_blocks(const NonNegative& x, See&& see) {
  const std::span<const float> values = x.values;
  for (int64_t at = 0; at < x.rows; at += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, x.rows - at);
    see(at, Matrix(values.subspan(static_cast<size_t>(at * x.columns),
                                  static_cast<size_t>(rows * x.columns)),
                   rows, x.columns));
  }
}

/// X B, [N, C].
Matrix times(const NonNegative& x, ConstMatrixRef b) {
  Matrix product(x.rows, b.columns);
  in_blocks(x, [&](int64_t at, const Matrix& rows) {
    add_product(product.some_rows(at, rows.rows()), rows, b);
  });
  return product;
}

/// X^T A, [M', C].
Matrix transposed_times(const NonNegative& x, const Matrix& a) {
  Matrix product(x.columns, a.columns());
  in_blocks(x, [&](int64_t at, const Matrix& rows) {
    add_product(product, rows.t(), a.some_rows(at, rows.rows()));
  });
  return product;
}

/// One round over the entries of `side`, `other` being the other side and `product` X (or X^T)
/// times it. Returns the sum of the projected gradients' sizes. An entry's gradient depends on its
/// own row alone, so rows go one after another.
double descend(Matrix& side, const Matrix& other, const Matrix& products) {
  const Matrix gram = product(other.t(), other);
  double violation = 0;
  for (int64_t i = 0; i < side.rows(); ++i) {
    for (int64_t c = 0; c < side.columns(); ++c) {
      const double g = dot(side.row(i), gram.row(c)) - products(i, c);
      double& entry = side(i, c);
      violation += std::abs(entry == 0 ? std::min(g, 0.0) : g);
      if (gram(c, c) != 0) entry = std::max(entry - g / gram(c, c), 0.0);
    }
  }
  return violation;
}

void start_randomly(const NonNegative& x, const NmfOptions& options, Nmf& found) {
  double total = 0;
  for (const float value : x.values) total += double{value};
  const double size = std::sqrt(total / static_cast<double>(x.values.size()) / options.components);
  uint64_t index = 0;
  for (Matrix* side : {&found.neurons, &found.strengths}) {
    for (int64_t c = 0; c < side->columns(); ++c) {  // numbered component by component
      for (int64_t i = 0; i < side->rows(); ++i)
        (*side)(i, c) = size * std::abs(standard_normal(mix64(options.seed), index++));
    }
  }
}

/// The smaller of X X^T and X^T X.
Matrix smaller_gram(const NonNegative& x) {
  if (x.rows > x.columns) {
    Matrix gram(x.columns, x.columns);
    in_blocks(x, [&](int64_t, const Matrix& rows) { add_product(gram, rows.t(), rows); });
    return gram;
  }
  Matrix gram(x.rows, x.rows);
  in_blocks(x, [&](int64_t at, const Matrix& rows) {
    const Matrix some = times(x, rows.t());  // [N, rows]
    for (int64_t i = 0; i < some.rows(); ++i)
      std::copy(some.row(i).begin(), some.row(i).end(), gram.row(i).begin() + at);
  });
  return gram;
}

/// The leading singular vectors, a row each, and values.
SingularValues leading_svd(const NonNegative& x, int64_t count) {
  SymmetricEigen eigen = symmetric_eigen(smaller_gram(x));
  eigen.vectors.resize_rows(count);
  eigen.values.resize(static_cast<size_t>(count));
  const bool wide = x.rows <= x.columns;
  Matrix partner(count, wide ? x.columns : x.rows);  // vectors^T X^T or vectors^T X
  in_blocks(x, [&](int64_t at, const Matrix& rows) {
    if (!wide) {
      const Matrix some = product(eigen.vectors, rows.t());
      for (int64_t c = 0; c < count; ++c)
        std::copy(some.row(c).begin(), some.row(c).end(), partner.row(c).begin() + at);
      return;
    }
    const ConstMatrixRef own = eigen.vectors;
    add_product(partner, {own.data + at, count, rows.rows(), own.row_stride, 1}, rows);
  });
  std::vector<double> inverse;
  for (double& value : eigen.values) {
    value = std::sqrt(std::max(value, 0.0));
    inverse.push_back(value > 0 ? 1 / value : 0);
  }
  partner.scale_rows(inverse);
  if (wide) return {std::move(eigen.vectors), std::move(eigen.values), std::move(partner)};
  return {std::move(partner), std::move(eigen.values), std::move(eigen.vectors)};
}

/// The positive or, with sign -1, the negative half of a vector.
std::vector<double> half_of(std::span<const double> vector, double sign) {
  std::vector<double> half;
  for (const double x : vector) half.push_back(std::max(sign * x, 0.0));
  return half;
}

/// Boutsidis & Gallopoulos 2008: of each pair of singular vectors the half, positive or negative,
/// that weighs more.
void start_from_singular_vectors(const NonNegative& x, Nmf& found) {
  constexpr double kNone = 1e-6;  // as scikit-learn: what is smaller starts at 0
  const SingularValues svd = leading_svd(x, found.strengths.columns());
  for (int64_t c = 0; c < found.strengths.columns(); ++c) {
    const auto weight_of = [&](double sign) {
      return norm(half_of(svd.u.row(c), sign)) * norm(half_of(svd.v.row(c), sign));
    };
    const double sign = weight_of(-1) > weight_of(1) ? -1 : 1, weight = weight_of(sign);
    if (weight == 0) continue;
    const double size = std::sqrt(svd.values[static_cast<size_t>(c)] * weight);
    const auto start = [&](std::span<const double> vector, Matrix& side) {
      const std::vector<double> half = half_of(vector, sign);
      const double length = norm(half);
      for (int64_t i = 0; i < side.rows(); ++i) {
        const double entry = size * half[static_cast<size_t>(i)] / length;
        side(i, c) = entry < kNone ? 0.0 : entry;
      }
    };
    start(svd.u.row(c), found.strengths);
    start(svd.v.row(c), found.neurons);
  }
}

/// Row by row: as a difference of large sums it would lose its digits where the fit is good.
double relative_residual(const NonNegative& x, const Nmf& found) {
  double rest = 0, whole = 0;
  in_blocks(x, [&](int64_t at, Matrix rows) {
    whole += dot(rows.values(), rows.values());
    add_product(rows, found.strengths.some_rows(at, rows.rows()), found.neurons.t(), -1);
    rest += dot(rows.values(), rows.values());
  });
  return std::sqrt(rest / whole);
}

}  // namespace

Nmf factorise(const NonNegative& x, const NmfOptions& options) {
  Nmf found;
  found.strengths = Matrix(x.rows, options.components);
  found.neurons = Matrix(x.columns, options.components);
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
        violation <= std::max(options.tolerance * first,
                              kNoDigits * (sum(forward.values()) + sum(back.values())));
    if (options.see) options.see(found.iterations);
  }
  found.relative_residual = relative_residual(x, found);
  return found;
}

}  // namespace vitrine::internal
