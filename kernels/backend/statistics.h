// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/backend/mat.h"

namespace vitrine::internal {

/// Joins a block of rows to the mean and the centred sums of products of all rows before it. With m
/// and P the block's own mean and its rows' sum of (x - m) (x - m)^T, n its rows and d = m - mean
/// (Chan, Golub and LeVeque, 1979):
///   products += P + weight n / (weight + n) d d^T,   mean += n / (weight + n) d.
/// All float64 and in the backend's memory; each sum over rows runs from the first to the last.
struct MomentsArgs {
  const double* x = nullptr;  ///< [rows, width] side by side
  int64_t rows = 0, width = 0;
  double weight = 0;       ///< rows that were joined before
  double* mean = nullptr;  ///< [width]
  double* products =
      nullptr;  ///< [width, width] row by row; only the lower triangle is read and written
};

/// Statistics of captured rows.
class Statistics {
 public:
  /// out = x - origin in float64, [rows, cols] side by side; without an origin [cols] x itself.
  /// `spoiled` becomes 1 if x has a NaN or an infinity, and stays what it is otherwise.
  virtual void widen(Mat x, const double* origin, double* out, int32_t* spoiled) = 0;
  virtual void join_moments(const MomentsArgs& args) = 0;

 protected:
  ~Statistics() = default;
};

}  // namespace vitrine::internal
