// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vitrine {

// Covariance matrices as numpy.cov defines them, in float64: of matrices in memory, and of
// observations added in one pass. Correlations, eigenvalues and principal components are derived
// from them.

/// Row-major matrix that the caller owns.
struct MatrixView {
  std::span<const double> values;  ///< [rows, columns]
  int64_t rows = 0, columns = 0;
};

struct CovarianceOptions {
  bool rowvar = true;  ///< true: rows are variables, columns are observations; false: the transpose
  bool bias = false;   ///< true: divide by N instead of N - 1; ignored if `ddof` is set
  /// Subtracted from the number of observations in the divisor; may be negative.
  std::optional<int64_t> ddof = {};
  /// [observations] frequency of each observation, >= 0; empty: 1 each
  std::span<const int64_t> fweights = {};
  /// [observations] weight of each observation, >= 0; empty: 1 each
  std::span<const double> aweights = {};
};

/// Covariance matrix, exactly symmetric.
struct Covariance {
  int64_t variables = 0;
  int64_t observations = 0;
  int64_t ddof = 1;
  double weight = 0;   ///< sum of w = fweights * aweights; number of observations without weights
  double divisor = 0;  ///< N - ddof; with aweights sum(w) - ddof * sum(w * aweights) / sum(w)
  std::vector<double> mean;    ///< [variables], weighted
  std::vector<double> values;  ///< [variables, variables]: variances on the diagonal
  /// For variables so large or small that their squares are not in the range of float64 (1e200,
  /// 1e-200): values[i, j] = scaled[i, j] * 2^(exponents[i] + exponents[j]), which may overflow or
  /// vanish; what is derived from the covariances uses these. Empty if not needed.
  std::vector<double> scaled = {};
  std::vector<int> exponents = {};

  double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * variables + j)]; }
};

/// numpy.cov(m, y, ...) in two passes. The variables of `y` follow those of `m`. Throws Error
/// (user) for values that are not rows x columns, no variables, observations of `y` or weights
/// whose count differs from that of `m`, a weight that is negative or not finite, weights that are
/// all 0, and a divisor <= 0 (where NumPy warns and divides by 0). NaN and infinity propagate. A
/// variable whose observations (of weight > 0) are all equal has exactly that mean and a variance
/// of exactly 0, where NumPy leaves rounding.
Covariance covariance(const MatrixView& m, const MatrixView& y,
                      const CovarianceOptions& options = {});
Covariance covariance(const MatrixView& m, const CovarianceOptions& options = {});

/// numpy.corrcoef, [variables, variables]: c_ij / sqrt(c_ii c_jj), clipped to -1..1; NaN where a
/// variance is 0. It does not depend on the variables' scale.
std::vector<double> correlation(const Covariance& covariance);

/// Indices of the variables with a variance of 0, which have no correlation; ascending.
std::vector<int64_t> constant_variables(const Covariance& covariance);

/// Indices of two variables, i < j.
struct VariablePair {
  int64_t i = 0, j = 0;
};
/// The pairs of largest |correlation|, strongest first, at most `count`; of equals the first. Pairs
/// without a correlation are left out. `correlation`: [variables, variables].
std::vector<VariablePair> strongest_pairs(std::span<const double> correlation, int64_t variables,
                                          size_t count);

struct PrincipalComponents {
  std::vector<double> eigenvalues;  ///< all eigenvalues, descending
  std::vector<double> explained;    ///< share of each in the total variance; 0 if the total is 0
  int64_t count = 0;
  /// [count, variables] unit vectors in the order of the eigenvalues. The sign is fixed so that the
  /// element of largest magnitude (the first of equals) is positive.
  std::vector<double> components;
};

/// `count`: number of vectors to keep; negative: all. Throws Error (user) for a matrix that
/// contains NaN or infinity. Eigenvalues outside the range of float64 are infinite or 0; their
/// shares and vectors are right.
PrincipalComponents principal_components(const Covariance& covariance, int64_t count = -1);

namespace internal {
struct MomentsState;
}

/// Mean and centred sums of products of observations, accumulated in one pass. Blocks of 256
/// observations are centred on their own mean and joined by the update of Chan, Golub and LeVeque
/// (1979), which avoids cancellation for large means. Results depend on the observations and their
/// order to the bit, and not on how many were added per call.
class Moments {
 public:
  /// Throws Error (user) for fewer than one variable, and if the matrix needs more than
  /// `max_bytes`.
  explicit Moments(int64_t variables, uint64_t max_bytes = uint64_t{4} << 30);
  /// Sums of squares alone, without the products of different variables: [variables] numbers, and
  /// covariance() throws.
  static Moments variances(int64_t variables);

  /// `rows`: [n, variables], row-major. `fweights` and `aweights`: [n] or empty, see
  /// CovarianceOptions. Throws Error (user) for sizes that do not match, and for weights that are
  /// negative or not finite.
  void add(std::span<const double> rows, std::span<const int64_t> fweights = {},
           std::span<const double> aweights = {});
  void add(std::span<const float> rows);
  /// Adds the observations of `other` after the present ones. The result equals adding them one by
  /// one, up to rounding. Throws Error (user) for a different number of variables, and for
  /// variances alone and covariances.
  void merge(const Moments& other);

  int64_t variables() const { return variables_; }
  int64_t observations() const { return observations_; }
  bool variances_only() const { return variances_only_; }
  /// Throws Error (user) if there are no observations, for a divisor <= 0, and for variances alone.
  Covariance covariance(int64_t ddof = 1) const;
  /// [variables]; empty without observations.
  std::vector<double> mean() const;
  /// [variables]. Throws Error (user) as covariance().
  std::vector<double> variance(int64_t ddof = 1) const;

 private:
  friend struct internal::MomentsState;
  struct VariancesOnly {};
  Moments(int64_t variables, VariancesOnly);
  void add_block();
  /// With the rows of the incomplete block.
  Moments whole() const;
  void join(double weight, std::span<const double> mean, std::span<const double> products);

  int64_t variables_ = 0;
  bool variances_only_ = false;
  int64_t observations_ = 0;
  double weight_ = 0, weight_a_ = 0;  // over complete blocks: sum of w, sum of w * aweights
  std::vector<double>
      origin_;  // [variables] first observation, subtracted from all others to keep means small
  std::vector<double> mean_;      // [variables]
  std::vector<double> products_;  // [variables, variables] sum of w (x - mean) (x - mean)^T, lower
                                  // triangle; of variances alone [variables], its diagonal
  std::vector<double> rows_;      // incomplete block: [n, variables]
  std::vector<double> w_, wa_;    // [n] w and w * aweights of the incomplete block's rows
};

}  // namespace vitrine
