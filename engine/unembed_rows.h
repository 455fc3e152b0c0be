// SPDX-License-Identifier: MIT
#pragma once

#include "engine/model_state.h"
#include "kernels/backend.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

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
