// SPDX-License-Identifier: MIT
// Regression and cross-validation, apart from any model.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "analysis/common/linalg.h"
#include "analysis/common/scale.h"
#include "analysis/predictivity/stages.h"
#include "base/check.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine {
using namespace internal;
namespace {

using Vector = std::vector<double>;

Matrix matrix_of(const TensorView& view, std::string_view what) {
  if (view.shape().rank() != 2)
    user_error("the {} have shape {}: expected two axes, one row per stimulus", what,
               view.shape().to_string());
  Matrix matrix(view.shape()[0], view.shape()[1]);
  const auto copy = [&](const auto* values) {
    std::copy_n(values, matrix.values().size(), matrix.values().begin());
  };
  const std::byte* bytes = view.host_bytes().data();
  if (view.dtype() == DType::kF32) {
    copy(reinterpret_cast<const float*>(bytes));
  } else if (view.dtype() == DType::kF64) {
    copy(reinterpret_cast<const double*>(bytes));
  } else {
    user_error("the {} are {}: expected f32 or f64", what, dtype_name(view.dtype()));
  }
  if (!all_finite(matrix.values()))
    user_error(
        "the {} contain NaN or infinity: expected finite numbers; leave such rows or columns out",
        what);
  return matrix;
}

void check_alphas(const RegressionOptions& options) {
  if (options.method != Regression::kRidge) return;
  if (options.alphas.empty())
    user_error("missing alpha of a ridge regression: expected at least one, such as 1");
  for (const double alpha : options.alphas) {
    if (!(alpha > 0 && std::isfinite(alpha)))
      user_error("alpha {} of a ridge regression is out of range: expected > 0, such as 1", alpha);
  }
}

Vector column_means(const Matrix& x) {
  Vector means = x.column_sums();
  for (double& mean : means) mean /= static_cast<double>(x.rows());
  return means;
}

Matrix less(Matrix x, std::span<const double> row) {
  x.subtract_from_rows(row);
  return x;
}

/// sums[j] += x(i, j)^2 over all rows i.
void add_squares(Vector& sums, const Matrix& x) {
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += x.row(i)[j] * x.row(i)[j];
  }
}

/// The training features taken apart once, for all neuroids and all alphas.
class Design {
 public:
  Design(const Matrix& features, Regression method)
      : mean_(column_means(features)), scale_(mean_.size(), 1.0) {
    Matrix x = less(features, mean_);
    if (method == Regression::kRidge) {
      set_scales(x);
      divide(x);
    }
    svd_ = thin_svd(x);
    Vector& values = svd_.values;
    // What is smaller is rounding. NumPy's matrix_rank and scikit-learn's LinearRegression draw the
    // same line.
    const double least = static_cast<double>(std::max(x.rows(), x.columns())) *
                         std::numeric_limits<double>::epsilon() *
                         (values.empty() ? 0.0 : values[0]);
    const auto rank =
        std::count_if(values.begin(), values.end(), [&](double s) { return s > least; });
    svd_.u.resize_rows(rank);
    svd_.v.resize_rows(rank);
    values.resize(static_cast<size_t>(rank));
  }

  int64_t rows() const { return svd_.u.columns(); }
  int64_t rank() const { return svd_.u.rows(); }
  /// U^T [rank, rows].
  const Matrix& ut() const { return svd_.u; }
  const Vector& s() const { return svd_.values; }
  /// The test rows along the directions of the training rows.
  Matrix project(const Matrix& features) const {
    Matrix x = less(features, mean_);
    divide(x);
    return product(x, svd_.v.t());
  }

 private:
  /// Standard deviations with the divisor n; 1 for a feature whose spread is rounding alone
  /// (scikit-learn's StandardScaler has this bound).
  void set_scales(const Matrix& x) {
    const auto n = static_cast<double>(x.rows());
    constexpr double kEps = std::numeric_limits<double>::epsilon();
    Vector squares(scale_.size());
    add_squares(squares, x);
    for (size_t f = 0; f < scale_.size(); ++f) {
      const double variance = squares[f] / n, error = n * mean_[f] * kEps;
      if (variance > n * kEps * variance + error * error) scale_[f] = std::sqrt(variance);
    }
  }

  void divide(Matrix& x) const {
    for (int64_t i = 0; i < x.rows(); ++i) {
      for (size_t f = 0; f < scale_.size(); ++f) x.row(i)[f] /= scale_[f];
    }
  }

  Vector mean_, scale_;
  SingularValues svd_;
};

/// One fold's ridge regressions: y = U U^T y + rest, and ridge keeps s^2 / (s^2 + alpha) of U^T y.
class Ridge {
 public:
  Ridge(const Design& design, const Matrix& y, const Matrix& uty)
      : design_(design), uty_(uty), rest_(y), rest_norms_(static_cast<size_t>(y.columns())) {
    add_product(rest_, design.ut().t(), uty, -1);
    add_squares(rest_norms_, rest_);
  }

  /// The criterion of each neuroid, up to a factor that does not depend on alpha.
  Vector criterion(double alpha, AlphaChoice choice) const {
    Vector lost;
    for (const double s : design_.s()) lost.push_back(alpha / (s * s + alpha));
    Matrix parts = uty_;
    parts.scale_rows(lost);
    // Directions that the features do not have, and not the mean, which the intercept takes.
    // Nothing is left of them for as many features as stimuli: then this is exactly 0, where a sum
    // of squares over U would leave rounding.
    const auto idle = static_cast<double>(design_.rows() - 1 - design_.rank());
    if (choice == AlphaChoice::kGcv) {
      Vector errors = rest_norms_;
      add_squares(errors, parts);
      const double trace = idle + sum(lost);
      for (double& error : errors) error /= trace * trace;
      return errors;
    }
    Matrix errors = rest_;
    add_product(errors, design_.ut().t(), parts);
    Vector inverse = weights(lost, idle);
    for (double& weight : inverse) weight = 1 / weight;
    errors.scale_rows(inverse);
    Vector squares(static_cast<size_t>(errors.columns()));
    add_squares(squares, errors);
    return squares;
  }

 private:
  /// What each stimulus's residual is divided by to become its error when it is left out.
  Vector weights(const Vector& lost, double idle) const {
    Vector inside(static_cast<size_t>(design_.rows())), weight = inside;
    for (int64_t k = 0; k < design_.rank(); ++k) {
      const std::span<const double> u = design_.ut().row(k);
      for (size_t i = 0; i < u.size(); ++i) {
        inside[i] += u[i] * u[i];
        weight[i] += u[i] * u[i] * lost[static_cast<size_t>(k)];
      }
    }
    for (size_t i = 0; i < weight.size() && idle > 0; ++i)
      weight[i] += std::max(1.0 - 1.0 / static_cast<double>(design_.rows()) - inside[i], 0.0);
    return weight;
  }

  const Design& design_;
  const Matrix& uty_;
  Matrix rest_;
  Vector rest_norms_;
};

std::vector<double> choose_alphas(const Design& design, const Matrix& y, const Matrix& uty,
                                  const RegressionOptions& options) {
  std::vector<double> chosen(static_cast<size_t>(y.columns()), options.alphas[0]);
  if (options.alphas.size() == 1) return chosen;
  const Ridge ridge(design, y, uty);
  Vector least(chosen.size(), std::numeric_limits<double>::infinity());
  for (const double alpha : options.alphas) {
    const Vector criterion = ridge.criterion(alpha, options.choice);
    for (size_t q = 0; q < chosen.size(); ++q) {
      if (!(criterion[q] < least[q])) continue;
      least[q] = criterion[q];
      chosen[q] = alpha;
    }
  }
  return chosen;
}

/// Brings features to a moderate scale, so that their squares are in the range of float64: each for
/// a ridge regression, which divides by their deviations in any case, and all together for least
/// squares of minimum norm, whose solution depends on their relative scale.
std::vector<int> scale_features(Matrix& x, Regression method) {
  if (method != Regression::kOls) return scale_columns(x);
  double largest = 0;
  for (const double value : x.values()) largest = std::max(largest, std::abs(value));
  const std::vector<int> exponents(static_cast<size_t>(x.columns()), scale_exponent(largest));
  unscale_columns(x, opposite(exponents));
  return exponents;
}

struct Fit {
  Matrix predictions;
  std::vector<double> alphas;
};

Fit fit(const Matrix& features, const Matrix& responses, const Matrix& test,
        const RegressionOptions& options) {
  const Design design(features, options.method);
  const Vector mean = column_means(responses);
  const Matrix y = less(responses, mean), uty = product(design.ut(), y);
  const bool ridge = options.method != Regression::kOls;
  Matrix weights = uty;
  Fit result;
  if (ridge) result.alphas = choose_alphas(design, y, uty, options);
  for (int64_t k = 0; k < weights.rows(); ++k) {
    const double s = design.s()[static_cast<size_t>(k)];
    for (int64_t q = 0; q < weights.columns(); ++q)
      weights(k, q) *= s / (s * s + (ridge ? result.alphas[static_cast<size_t>(q)] : 0.0));
  }
  result.predictions = product(design.project(test), weights);
  for (int64_t i = 0; i < result.predictions.rows(); ++i) {
    for (size_t q = 0; q < mean.size(); ++q) result.predictions.row(i)[q] += mean[q];
  }
  return result;
}

/// A column less its mean; empty where what is left is rounding.
Vector centred(const Matrix& matrix, int64_t column) {
  Vector x;
  double largest = 0, rest = 0;
  for (int64_t i = 0; i < matrix.rows(); ++i) x.push_back(matrix(i, column));
  const double mean = sum(x) / static_cast<double>(x.size());
  for (double& value : x) {
    largest = std::max(largest, std::abs(value));
    value -= mean;
    rest = std::max(rest, std::abs(value));
  }
  return rest > 16 * std::numeric_limits<double>::epsilon() * largest ? x : Vector();
}

double held_out_r(const Matrix& predicted, const Matrix& training, const Matrix& held_out,
                  int64_t column) {
  const Vector y = centred(held_out, column);
  if (y.empty() || centred(training, column).empty())
    return std::numeric_limits<double>::quiet_NaN();
  const Vector x = centred(predicted, column);
  return x.empty() ? 0 : std::clamp(dot(x, y) / (norm(x) * norm(y)), -1.0, 1.0);
}

/// The rows of these numbers.
Matrix rows_of(const Matrix& x, const std::vector<int64_t>& rows) {
  Matrix some(std::ssize(rows), x.columns());
  for (size_t i = 0; i < rows.size(); ++i)
    std::ranges::copy(x.row(rows[i]), some.row(static_cast<int64_t>(i)).begin());
  return some;
}

void check_folds(std::span<const int32_t> folds, int64_t stimuli) {
  if (static_cast<int64_t>(folds.size()) != stimuli)
    user_error("{} stimuli have {} folds: expected one per stimulus", stimuli, folds.size());
  const int32_t count = *std::max_element(folds.begin(), folds.end()) + 1;
  if (*std::min_element(folds.begin(), folds.end()) < 0)
    user_error("a fold is negative: expected 0 or more");
  if (count < 2)
    user_error(
        "all stimuli are in one fold, which leaves no training rows: expected at least two folds");
  for (int32_t fold = 0; fold < count; ++fold) {
    const auto held_out = std::count(folds.begin(), folds.end(), fold);
    if (held_out < 3) {
      user_error(
          "fold {} of {} holds out {} stimuli, too few for a correlation: use fewer `folds` or "
          "more "
          "stimuli",
          fold, count, held_out);
    }
  }
}

}  // namespace

RegressionResult regress(const TensorView& features, const TensorView& responses,
                         const TensorView& test_features, const RegressionOptions& options) {
  check_alphas(options);
  Matrix x = matrix_of(features, "features"), y = matrix_of(responses, "responses"),
         test = matrix_of(test_features, "test features");
  if (x.rows() != y.rows())
    user_error("{} rows of features have {} rows of responses: expected equal numbers", x.rows(),
               y.rows());
  if (x.rows() < 2) user_error("{} training rows: expected at least two", x.rows());
  if (x.columns() != test.columns())
    user_error("{} features in training and {} in testing: expected equal numbers", x.columns(),
               test.columns());
  if (x.columns() == 0) user_error("missing features: expected at least one");
  unscale_columns(test, opposite(scale_features(x, options.method)));
  const std::vector<int> response_scales = scale_columns(y);
  Fit found = fit(x, y, test, options);
  unscale_columns(found.predictions, response_scales);
  RegressionResult result{.predictions = Tensor(DType::kF64, {test.rows(), y.columns()}),
                          .alphas = std::move(found.alphas)};
  auto* values = static_cast<double*>(result.predictions.data());
  std::ranges::copy(found.predictions.values(), values);
  return result;
}

CrossValidation cross_validate(const TensorView& features, const TensorView& responses,
                               std::span<const int32_t> folds, const RegressionOptions& options) {
  return cross_validate(features, responses, folds, options, [] {});
}

CrossValidation internal::cross_validate(const TensorView& features, const TensorView& responses,
                                         std::span<const int32_t> folds,
                                         const RegressionOptions& options,
                                         const std::function<void()>& fold_done) {
  check_alphas(options);
  Matrix x = matrix_of(features, "features"), y = matrix_of(responses, "responses");
  if (x.rows() != y.rows())
    user_error("{} rows of features have {} rows of responses: expected equal numbers", x.rows(),
               y.rows());
  if (x.columns() == 0) user_error("missing features: expected at least one");
  scale_features(x, options.method);
  scale_columns(y);
  if (x.rows() == 0) user_error("missing stimuli: expected at least one");
  check_folds(folds, x.rows());
  CrossValidation result{.folds = *std::max_element(folds.begin(), folds.end()) + 1,
                         .neuroids = y.columns(),
                         .r = {},
                         .alphas = {}};
  for (int32_t fold = 0; fold < result.folds; ++fold) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < folds.size(); ++i)
      (folds[i] == fold ? outside : inside).push_back(static_cast<int64_t>(i));
    const Matrix training = rows_of(y, inside), held_out = rows_of(y, outside);
    const Fit found = fit(rows_of(x, inside), training, rows_of(x, outside), options);
    for (int64_t q = 0; q < y.columns(); ++q)
      result.r.push_back(held_out_r(found.predictions, training, held_out, q));
    result.alphas.insert(result.alphas.end(), found.alphas.begin(), found.alphas.end());
    fold_done();
  }
  return result;
}

std::vector<double> CrossValidation::scores() const {
  std::vector<double> means(static_cast<size_t>(neuroids), 0.0);
  for (size_t i = 0; i < r.size(); ++i) means[i % means.size()] += r[i] / folds;
  return means;
}

}  // namespace vitrine
