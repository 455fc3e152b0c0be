// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vitrine {

// Covariance matrices with the meaning of numpy.cov, in float64: of matrices in memory, and of
// activations over a corpus in one pass. Correlation, eigenvalues and principal components from
// them.

/// Numbers that somebody else owns, row by row.
struct MatrixView {
  std::span<const double> values;  ///< [rows, columns]
  int64_t rows = 0, columns = 0;
};

struct CovarianceOptions {
  bool rowvar =
      true;  ///< a row is a variable and a column an observation; false: the other way round
  bool bias = false;  ///< the divisor is N, not N - 1; only where ddof is not given
  std::optional<int64_t> ddof =
      {};  ///< what is taken from the number of observations; may be negative
  std::span<const int64_t> fweights =
      {};  ///< [observations] how often each was seen, 0 or more; empty: once
  std::span<const double> aweights =
      {};  ///< [observations] how much each counts, 0 or more; empty: equally
};

/// A covariance matrix, symmetric to the bit.
struct Covariance {
  int64_t variables = 0;
  int64_t observations = 0;
  int64_t ddof = 1;
  double weight = 0;         ///< sum of w = fweights * aweights; observations without weights
  double divisor = 0;        ///< N - ddof; with aweights sum(w) - ddof * sum(w * aweights) / sum(w)
  std::vector<double> mean;  ///< [variables], weighted
  std::vector<double> values;  ///< [variables, variables]: variances on the diagonal

  double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * variables + j)]; }
};

/// numpy.cov(m, y, ...): two passes. Variables of `y` follow those of `m`; it has no rows if it is
/// not given. Throws Error (user) for a matrix whose values are not rows x columns, no variables,
/// observations of `y` or weights that are not as many as those of `m`, a weight that is negative
/// or not finite, weights that are all 0, and a divisor of 0 or less (where NumPy warns and divides
/// by 0). NaNs and infinities go where the arithmetic takes them.
Covariance covariance(const MatrixView& m, const MatrixView& y,
                      const CovarianceOptions& options = {});
Covariance covariance(const MatrixView& m, const CovarianceOptions& options = {});

/// [variables, variables] numpy.corrcoef: c_ij / sqrt(c_ii c_jj), clipped to -1..1; NaN where a
/// variance is 0.
std::vector<double> correlation(const Covariance& covariance);

struct PrincipalComponents {
  std::vector<double> eigenvalues;  ///< all of them, descending
  std::vector<double>
      explained;  ///< of the total variance, the share of each; 0 where there is no variance
  int64_t count = 0;
  /// [count, variables] unit vectors in the order of the eigenvalues. The element of largest size
  /// is positive (the first of equals), which settles the sign.
  std::vector<double> components;
};

/// `count`: how many vectors to keep; negative: all. Throws Error (user) for a matrix that has a
/// NaN or an infinity.
PrincipalComponents principal_components(const Covariance& covariance, int64_t count = -1);

namespace internal {
struct MomentsState;
}

/// Means and centred sums of products of observations that come a few at a time, in one pass:
/// blocks of 256 are centred on their own mean, and joined by the update of Chan, Golub and LeVeque
/// (1979), so that nothing cancels where means are large. Results depend on the observations and
/// their order, to the bit, and not on how many came at once.
class Moments {
 public:
  /// Throws Error (user) for no variables, and for so many that the matrix would have more than
  /// `max_bytes`.
  explicit Moments(int64_t variables, uint64_t max_bytes = uint64_t{4} << 30);

  /// `rows`: [n, variables] row by row. `fweights` and `aweights`: [n] or empty, as in
  /// CovarianceOptions. Throws Error (user) for sizes that do not fit and weights that are negative
  /// or not finite.
  void add(std::span<const double> rows, std::span<const int64_t> fweights = {},
           std::span<const double> aweights = {});
  void add(std::span<const float> rows);
  /// Adds the observations of another, as if they had come after these; equal to that up to
  /// rounding. Throws Error (user) for another number of variables.
  void merge(const Moments& other);

  int64_t variables() const { return variables_; }
  int64_t observations() const { return observations_; }
  /// Throws Error (user) for no observations and for a divisor of 0 or less.
  Covariance covariance(int64_t ddof = 1) const;

 private:
  friend struct internal::MomentsState;
  void add_block();
  void join(double weight, std::span<const double> mean, std::span<const double> products);

  int64_t variables_ = 0;
  int64_t observations_ = 0;
  double weight_ = 0, weight_a_ = 0;  // of whole blocks: sum of w, of w * aweights
  std::vector<double> origin_;  // [variables] the first observation: all else is relative to it, so
                                // that means are small
  std::vector<double> mean_;    // [variables]
  std::vector<double>
      products_;  // [variables, variables] sum of w (x - mean) (x - mean)^T, lower triangle
  std::vector<double> rows_;    // the block that is not full: [n, variables]
  std::vector<double> w_, wa_;  // [n] of its rows: w, w * aweights
};

}  // namespace vitrine
