// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "engine/model_state.h"
#include "kernels/backend.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Rows [rows, width] of a result as a float32 matrix of the backend: as they lie, if they lie
/// there, or a copy in `memory`. Throws Error (user) for rows of another width, and for rows in a
/// GPU's memory that are not float32.
Mat place_rows(const ModelState& model, TensorView rows, int64_t width, std::string_view what,
               Buffer& memory);

/// Rows of the residual stream in the backend's memory, ready for the unembedding. The caller holds
/// Backend::exclusive().
class UnembedRows {
 public:
  /// Throws Error (user) for a row width other than D, and for rows in a GPU's memory that are not
  /// float32.
  UnembedRows(const ModelState& model, TensorView rows, bool final_layernorm);
  /// [rows, D]; valid as long as this object and the given rows.
  Mat mat() const { return x_; }

 private:
  Buffer memory_, normalized_;
  Mat x_;
};

}  // namespace vitrine::internal
