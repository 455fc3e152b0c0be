// SPDX-License-Identifier: MIT
// Regression and cross-validation, apart from any model.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "analysis/common/decompositions.h"
#include "analysis/predictivity/stages.h"
#include "base/check.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine {
using namespace internal;
namespace {

using Matrix = Eigen::MatrixXd;
using Row = Eigen::RowVectorXd;
using Vector = Eigen::VectorXd;

Matrix matrix_of(const TensorView& view, std::string_view what) {
  if (view.shape().rank() != 2)
    user_error("the {} are {}; wanted two axes, a row for each stimulus", what,
               view.shape().to_string());
  const int64_t rows = view.shape()[0], columns = view.shape()[1];
  Matrix matrix(rows, columns);
  const auto copy = [&](const auto* values) {
    using Value = std::remove_const_t<std::remove_pointer_t<decltype(values)>>;
    using Values = Eigen::Matrix<Value, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    matrix = Eigen::Map<const Values>(values, rows, columns).template cast<double>();
  };
  const std::byte* bytes = view.host_bytes().data();
  if (view.dtype() == DType::kF32) {
    copy(reinterpret_cast<const float*>(bytes));
  } else if (view.dtype() == DType::kF64) {
    copy(reinterpret_cast<const double*>(bytes));
  } else {
    user_error("the {} are {}; wanted f32 or f64", what, dtype_name(view.dtype()));
  }
  if (!matrix.allFinite())
    user_error("the {} hold a number that is not finite; leave such rows or columns out", what);
  return matrix;
}

void check_alphas(const RegressionOptions& options) {
  if (options.method != Regression::kRidge) return;
  if (options.alphas.empty())
    user_error("a ridge regression has no alpha to choose from; give one at least, such as 1");
  for (const double alpha : options.alphas) {
    if (!(alpha > 0 && std::isfinite(alpha)))
      user_error("alpha {} of a ridge regression: give a number above 0, such as 1", alpha);
  }
}

/// The training features taken apart once, for all neuroids and all alphas.
class Design {
 public:
  Design(const Matrix& features, Regression method)
      : mean_(features.colwise().mean()), scale_(Row::Ones(features.cols())) {
    Matrix x = features.rowwise() - mean_;
    if (method == Regression::kRidge) {
      set_scales(x);
      x.array().rowwise() /= scale_.array();
    }
    const SingularValues svd = thin_svd(x);
    const Vector& values = svd.values;
    // What is smaller is rounding. NumPy's matrix_rank and scikit-learn's LinearRegression draw the
    // same line.
    const double least = static_cast<double>(std::max(x.rows(), x.cols())) *
                         std::numeric_limits<double>::epsilon() *
                         (values.size() > 0 ? values[0] : 0.0);
    rank_ = std::count_if(values.begin(), values.end(), [&](double s) { return s > least; });
    u_ = svd.u.leftCols(rank_);
    v_ = svd.v.leftCols(rank_);
    s_ = values.head(rank_);
  }

  int64_t rows() const { return u_.rows(); }
  int64_t rank() const { return rank_; }
  const Matrix& u() const { return u_; }
  const Vector& s() const { return s_; }
  /// The test rows along the directions of the training rows.
  Matrix project(const Matrix& features) const {
    Matrix x = features.rowwise() - mean_;
    x.array().rowwise() /= scale_.array();
    return x * v_;
  }

 private:
  /// Standard deviations with the divisor n; 1 for a feature whose spread is rounding alone
  /// (scikit-learn's StandardScaler has this bound).
  void set_scales(const Matrix& x) {
    const auto n = static_cast<double>(x.rows());
    constexpr double kEps = std::numeric_limits<double>::epsilon();
    for (int64_t f = 0; f < x.cols(); ++f) {
      const double variance = x.col(f).squaredNorm() / n, error = n * mean_[f] * kEps;
      if (variance > n * kEps * variance + error * error) scale_[f] = std::sqrt(variance);
    }
  }

  Row mean_, scale_;
  Matrix u_, v_;
  Vector s_;
  int64_t rank_ = 0;
};

/// One fold's ridge regressions: y = U U^T y + rest, and ridge keeps s^2 / (s^2 + alpha) of U^T y.
class Ridge {
 public:
  Ridge(const Design& design, const Matrix& y, const Matrix& uty)
      : design_(design),
        uty_(uty),
        rest_(y - design.u() * uty),
        rest_norms_(rest_.colwise().squaredNorm()) {}

  /// The criterion of each neuroid, up to a factor that does not depend on alpha.
  Row criterion(double alpha, AlphaChoice choice) const {
    const Vector lost = alpha / (design_.s().array().square() + alpha);
    // Directions that the features do not have, and not the mean, which the intercept takes.
    // Nothing is left of them for as many features as stimuli: then this is exactly 0, where a sum
    // of squares over U would leave rounding.
    const auto idle = static_cast<double>(design_.rows() - 1 - design_.rank());
    if (choice == AlphaChoice::kGcv) {
      const Row errors =
          rest_norms_ + (uty_.array().colwise() * lost.array()).square().colwise().sum().matrix();
      const double trace = idle + lost.sum();
      return errors / (trace * trace);
    }
    const Matrix errors = rest_ + design_.u() * lost.asDiagonal() * uty_;
    Vector weight = design_.u().array().square().matrix() * lost;
    if (idle > 0) {
      const Vector outside = 1.0 - 1.0 / static_cast<double>(design_.rows()) -
                             design_.u().rowwise().squaredNorm().array();
      weight += outside.cwiseMax(0.0);
    }
    return (errors.array().colwise() / weight.array()).square().colwise().sum();
  }

 private:
  const Design& design_;
  const Matrix& uty_;
  Matrix rest_;
  Row rest_norms_;
};

std::vector<double> choose_alphas(const Design& design, const Matrix& y, const Matrix& uty,
                                  const RegressionOptions& options) {
  std::vector<double> chosen(static_cast<size_t>(y.cols()), options.alphas[0]);
  if (options.alphas.size() == 1) return chosen;
  const Ridge ridge(design, y, uty);
  Row least = Row::Constant(y.cols(), std::numeric_limits<double>::infinity());
  for (const double alpha : options.alphas) {
    const Row criterion = ridge.criterion(alpha, options.choice);
    for (int64_t q = 0; q < y.cols(); ++q) {
      if (!(criterion[q] < least[q])) continue;
      least[q] = criterion[q];
      chosen[static_cast<size_t>(q)] = alpha;
    }
  }
  return chosen;
}

struct Fit {
  Matrix predictions;
  std::vector<double> alphas;
};

Fit fit(const Matrix& features, const Matrix& responses, const Matrix& test,
        const RegressionOptions& options) {
  const Design design(features, options.method);
  const Row mean = responses.colwise().mean();
  const Matrix y = responses.rowwise() - mean;
  const Matrix uty = design.u().transpose() * y;
  Matrix weights = uty;
  Fit result;
  if (options.method == Regression::kOls) {
    weights.array().colwise() /= design.s().array();
  } else {
    result.alphas = choose_alphas(design, y, uty, options);
    for (int64_t q = 0; q < y.cols(); ++q) {
      weights.col(q).array() *= design.s().array() / (design.s().array().square() +
                                                      result.alphas[static_cast<size_t>(q)]);
    }
  }
  result.predictions = (design.project(test) * weights).rowwise() + mean;
  return result;
}

/// A column less its mean; all zeros where what is left is rounding.
Vector centred(const Matrix& matrix, int64_t column) {
  const Vector x = matrix.col(column);
  const Vector rest = x.array() - x.mean();
  const double rounding = 16 * std::numeric_limits<double>::epsilon() * x.cwiseAbs().maxCoeff();
  return rest.cwiseAbs().maxCoeff() > rounding ? rest : Vector(Vector::Zero(x.size()));
}

double held_out_r(const Matrix& predicted, const Matrix& training, const Matrix& held_out,
                  int64_t column) {
  const Vector y = centred(held_out, column);
  if (y.isZero(0) || centred(training, column).isZero(0))
    return std::numeric_limits<double>::quiet_NaN();
  const Vector x = centred(predicted, column);
  if (x.isZero(0)) return 0;
  return std::clamp(x.normalized().dot(y.normalized()), -1.0, 1.0);
}

void check_folds(std::span<const int32_t> folds, int64_t stimuli) {
  if (static_cast<int64_t>(folds.size()) != stimuli)
    user_error("{} stimuli have {} folds; give one each", stimuli, folds.size());
  const int32_t count = *std::max_element(folds.begin(), folds.end()) + 1;
  if (*std::min_element(folds.begin(), folds.end()) < 0)
    user_error("a fold is negative; count them from 0");
  if (count < 2)
    user_error(
        "all stimuli are in one fold, so that nothing is left to learn from; give two folds at "
        "least");
  for (int32_t fold = 0; fold < count; ++fold) {
    const auto held_out = std::count(folds.begin(), folds.end(), fold);
    if (held_out < 3) {
      user_error(
          "fold {} of {} holds out {} stimuli, from which no correlation can be told; give fewer "
          "folds or more stimuli",
          fold, count, held_out);
    }
  }
}

}  // namespace

RegressionResult regress(const TensorView& features, const TensorView& responses,
                         const TensorView& test_features, const RegressionOptions& options) {
  check_alphas(options);
  const Matrix x = matrix_of(features, "features"), y = matrix_of(responses, "responses"),
               test = matrix_of(test_features, "test features");
  if (x.rows() != y.rows())
    user_error("{} rows of features have {} rows of responses; give one each", x.rows(), y.rows());
  if (x.rows() < 2) user_error("{} rows to learn from: a regression wants two at least", x.rows());
  if (x.cols() != test.cols())
    user_error("{} features in training and {} in testing; give the same", x.cols(), test.cols());
  if (x.cols() == 0) user_error("there are no features; give one at least");
  Fit found = fit(x, y, test, options);
  RegressionResult result{.predictions = Tensor(DType::kF64, {test.rows(), y.cols()}),
                          .alphas = std::move(found.alphas)};
  auto* values = static_cast<double*>(result.predictions.data());
  Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
      values, test.rows(), y.cols()) = found.predictions;
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
  const Matrix x = matrix_of(features, "features"), y = matrix_of(responses, "responses");
  if (x.rows() != y.rows())
    user_error("{} rows of features have {} rows of responses; give one each", x.rows(), y.rows());
  if (x.cols() == 0) user_error("there are no features; give one at least");
  if (x.rows() == 0) user_error("there are no stimuli; give some");
  check_folds(folds, x.rows());
  CrossValidation result{.folds = *std::max_element(folds.begin(), folds.end()) + 1,
                         .neuroids = y.cols(),
                         .r = {},
                         .alphas = {}};
  for (int32_t fold = 0; fold < result.folds; ++fold) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < folds.size(); ++i)
      (folds[i] == fold ? outside : inside).push_back(static_cast<int64_t>(i));
    const Matrix training = y(inside, Eigen::all), held_out = y(outside, Eigen::all);
    const Fit found = fit(x(inside, Eigen::all), training, x(outside, Eigen::all), options);
    for (int64_t q = 0; q < y.cols(); ++q)
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
