// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "vitrine/model.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// So many rows of logits visit_logits() holds at once, at most.
inline constexpr int64_t kLogitRowsAtOnce = 64;

/// Told the row and its logits [V], which are gone when it returns.
using LogitVisitor = std::function<void(int64_t row, std::span<const float> logits)>;

/// Unembeds rows [rows, D] of the residual stream, on the host or on the model's own GPU, a few at
/// a time, and shows each row's logits to `visit`, in order: for what needs whole distributions and
/// keeps less. `final_layernorm`: whether rows go through ln_final first. The logits are those that
/// Model::unembed and a pass compute, to the bit. Throws Error (user) for a row width other than D.
void visit_logits(const Model& model, TensorView rows, bool final_layernorm,
                  const LogitVisitor& visit);

}  // namespace vitrine
