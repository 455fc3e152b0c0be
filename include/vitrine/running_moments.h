// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Mean and centred sums of products of consecutive rows, as float64 in host memory.
struct MomentSums {
  int64_t observations = 0;  ///< number of rows, including pending ones
  /// [width] first row, subtracted from all others to keep means small; empty before the first row
  std::vector<double> origin;
  std::vector<double> mean;  ///< [width] mean of the rows in complete blocks
  /// [width, width] row-major: sum of (x - mean) (x - mean)^T; lower triangle
  std::vector<double> products;
  std::vector<double> pending;  ///< [n, width] rows of the incomplete block, n < kMomentsBlock
};

/// Number of rows per block. Large enough that the matrix update after each block costs little
/// compared with the block itself.
inline constexpr int64_t kMomentsBlock = 256;

/// Accumulates moments of captured rows on the model's device: rows on a GPU are not copied to the
/// host. Several parts, each with its own width, are accumulated independently, for example one per
/// site.
///
/// Blocks of kMomentsBlock rows are centred on their own mean and joined by the update of Chan,
/// Golub and LeVeque (1979), which avoids cancellation for large means. Results depend on the rows
/// and their order to the bit, and not on how many were added per call. Not thread-safe.
class RunningMoments {
 public:
  /// Allocates 8 * width * (width + kMomentsBlock) bytes per part. Throws Error (user) for an empty
  /// list of widths, a width below 1, and if memory is insufficient.
  RunningMoments(const Model& model, const std::vector<int64_t>& widths);
  RunningMoments(RunningMoments&&) noexcept;
  RunningMoments& operator=(RunningMoments&&) noexcept;
  ~RunningMoments();

  /// Adds `count` rows of `rows` [n, ...] starting at row `begin`. `rows`: f32, f16 or bf16, in
  /// host memory or on the model's device. Throws Error (user) for rows of a different width and
  /// for rows out of range.
  void add(int part, TensorView rows, int64_t begin, int64_t count);
  /// First part that received NaN or infinity, which invalidates its sums; -1: none.
  int spoiled() const;

  /// Sums of all added rows; waits for pending device work.
  MomentSums sums(int part) const;
  /// Restores sums, so that accumulation continues from them. Throws Error (user) for sizes that do
  /// not match the part or each other.
  void set(int part, const MomentSums& sums);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
