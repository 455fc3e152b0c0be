// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Maximum number of logit rows held at once by visit_logits().
inline constexpr int64_t kLogitRowsAtOnce = 64;

/// Receives a row index and its logits [V], which are valid only during the call.
using LogitVisitor = std::function<void(int64_t row, std::span<const float> logits)>;

/// Unembeds rows [rows, D] of the residual stream, in host memory or (float32 only) on the model's
/// GPU, a few at a time, and passes the logits of each row to `visit`, in order. For computations
/// that need whole distributions but keep less. `final_layernorm`: applies ln_final first. The
/// logits equal those of Model::unembed and of a pass, to the bit. Throws Error (user) for a row
/// width other than D.
void visit_logits(const Model& model, TensorView rows, bool final_layernorm,
                  const LogitVisitor& visit);

}  // namespace vitrine
