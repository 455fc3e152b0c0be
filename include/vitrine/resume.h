// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "vitrine/gradients.h"
#include "vitrine/hook_plan.h"
#include "vitrine/model.h"
#include "vitrine/run.h"
#include "vitrine/tensor.h"

namespace vitrine {

// Passes that begin within the model. The blocks before `layer` do not run; what a pass gives at
// later sites has the same bits as a pass over tokens that brings the same rows there.

/// Runs blocks `layer` and later over given rows of the residual stream: residuals[s] is [t, D]
/// float32 in host memory or on the model's device, blocks.<layer>.hook_resid_pre of sequence s, at
/// positions 0 to t - 1. Without logits the pass ends at its last used site, as Model::forward
/// does. Throws Error (user) as Session::forward_from does.
Run forward_from(const Model& model, int layer, const std::vector<TensorView>& residuals,
                 const HookPlan& plan, const ForwardOptions& options = {});

/// Such a pass and its backward pass, which ends at `layer`. Throws Error (user) as backward() and
/// forward_from() do, and for a target or a gradient at a site before `layer`.
Backward backward_from(const Model& model, int layer, const std::vector<TensorView>& residuals,
                       const std::vector<Target>& targets, const HookPlan& plan,
                       const BackwardOptions& options = {});

}  // namespace vitrine
