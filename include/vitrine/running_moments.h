// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Mean and centred sums of products of rows that came one behind the other, all float64 on the
/// host.
struct MomentSums {
  int64_t observations = 0;    ///< rows, the pending ones among them
  std::vector<double> origin;  ///< [width] the first row: all else is relative to it, so that means
                               ///< are small; empty before it came
  std::vector<double> mean;    ///< [width] of the rows that are joined
  std::vector<double>
      products;  ///< [width, width] row by row: sum of (x - mean) (x - mean)^T; lower triangle
  std::vector<double>
      pending;  ///< [fewer than kMomentsBlock, width] rows that wait for their block to be full
};

/// So many rows are centred on their own mean together. Enough for the update of the whole matrix
/// behind a block to cost little beside it.
inline constexpr int64_t kMomentsBlock = 256;

/// Adds up moments of captured rows where a model computes: rows that a run left on a GPU never
/// leave it. Several parts, of a width each, are kept side by side, such as one for each site.
///
/// Blocks of kMomentsBlock rows are centred on their own mean, and joined by the update of Chan,
/// Golub and LeVeque (1979), so that nothing cancels where means are large. Results depend on the
/// rows and their order, to the bit, and not on how many came at once. Not for several threads at
/// once.
class RunningMoments {
 public:
  /// Takes 8 * width * (width + kMomentsBlock) bytes for each part. Throws Error (user) for no
  /// widths, one below 1, and where that does not fit.
  RunningMoments(const Model& model, const std::vector<int64_t>& widths);
  RunningMoments(RunningMoments&&) noexcept;
  RunningMoments& operator=(RunningMoments&&) noexcept;
  ~RunningMoments();

  /// Adds `count` rows of `rows` [n, ...] from row `begin` on, f32, f16 or bf16, in host memory or
  /// where the model runs. Throws Error (user) for rows that do not have the part's width, or are
  /// not there.
  void add(int part, TensorView rows, int64_t begin, int64_t count);
  /// The first part that was ever given a NaN or an infinity, which spoils its sums; -1: none.
  int spoiled() const;

  /// Waits for everything that was added.
  MomentSums sums(int part) const;
  /// Goes on from there. Throws Error (user) for sizes that do not fit the part or each other.
  void set(int part, const MomentSums& sums);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
