// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Rows of a site as a shard has them: floats, or int8 with a scale for each row.
struct StoredRows {
  TensorView values;                   ///< [R, ...]
  std::span<const float> scales = {};  ///< [R] of int8

  int64_t rows() const { return values.shape()[0]; }
  int64_t width() const;  ///< elements of a row
  /// Appends the rows [first, first + count) as float32.
  void append(int64_t first, int64_t count, std::vector<float>& out) const;
};

/// Of a shard. Throws Error (user) for a type that no shard has, and scales that do not match.
StoredRows stored_rows(const SafetensorsFile& file, const std::string& site);

/// Rounds a row to multiples of its scale, which is returned: the largest magnitude / 127. NaN for
/// a row that is not finite, whose elements are all NaN then.
float quantize_row(std::span<const float> row, std::span<int8_t> to);

}  // namespace vitrine::internal
