// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "engine/run_pass.h"
#include "hooks/plan.h"
#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Rows of the residual stream, [t, D] for each sequence, with which a pass begins at a block.
struct GivenResiduals {
  /// Refers to both. Throws Error (user) for a layer out of range and rows of another width or
  /// type.
  GivenResiduals(const ModelState& model, int layer, const std::vector<TensorView>& residuals);

  Batch tokens;  ///< as many as there are rows; their ids are not read
  PassStart start;
};

/// Throws Error (user) if a pass from block `layer` does not reach a site of the plan.
void check_reached(const Plan& plan, int layer);

}  // namespace vitrine::internal
