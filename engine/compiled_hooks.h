// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>

#include "engine/model_state.h"
#include "hooks/plan.h"
#include "vitrine/hook_plan.h"

namespace vitrine::internal {

/// What a HookPlan shares. Does not own the model: a kept generation of the model may hold it.
struct CompiledHooks {
  Hooks hooks;
  Plan forward;  ///< captures and edits
  std::optional<Plan>
      gradient;  ///< requested gradients and the edits' adjoints, if any is requested

  /// Throws Error (user) for hooks that do not fit the model.
  CompiledHooks(const Hooks& hooks, const ModelState& model);
};

/// The plan's own, checked to be of this model. Throws Error (user) for another model's.
std::shared_ptr<const CompiledHooks> shared_hooks(const HookPlan& plan, const ModelState& model);

/// The plan of a forward pass. Throws Error (user) also for hooks that request gradients.
const Plan& forward_plan(const HookPlan& plan, const ModelState& model);

}  // namespace vitrine::internal
