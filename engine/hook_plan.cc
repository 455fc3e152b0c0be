// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "engine/compiled_hooks.h"
#include "hooks/adjoint.h"
#include "hooks/hook_run.h"

namespace vitrine {
using namespace internal;

internal::CompiledHooks::CompiledHooks(const Hooks& given, const ModelState& model)
    : hooks(given), forward(given, model.config, *model.backend, *model.pool) {
  if (!given.gradients().empty())
    gradient.emplace(adjoint_of(given), model.config, *model.backend, *model.pool);
}

std::shared_ptr<const CompiledHooks> internal::shared_hooks(const HookPlan& plan,
                                                            const ModelState& model) {
  if (plan.model_.get() != &model) {
    user_error("the hooks were compiled for model '{}', this is another ('{}'): compile them again",
               plan.model_->name, model.name);
  }
  return plan.compiled_;
}

const Plan& internal::forward_plan(const HookPlan& plan, const ModelState& model) {
  const CompiledHooks& compiled = *shared_hooks(plan, model);
  if (!compiled.hooks.gradients().empty()) {
    user_error("cannot compute the gradient of '{}' in a forward pass: call backward()",
               compiled.hooks.gradients().front().sites.pattern());
  }
  return compiled.forward;
}

const Hooks& HookPlan::hooks() const { return compiled_->hooks; }

std::vector<CaptureSpec> HookPlan::describe(std::span<const int64_t> lengths) const {
  std::vector<SequenceSlice> slices;
  for (const int64_t length : lengths) {
    if (length < 1 || length > model_->config.context) {
      user_error("invalid length of sequence {}: {}: expected 1..{}", slices.size(), length,
                 model_->config.context);
    }
    slices.push_back({.rows = length, .past = 0, .capacity = length});
  }
  const Plan& plan = compiled_->forward;
  const CaptureLayout layout(plan, slices, model_->config);
  std::vector<CaptureSpec> specs;
  for (size_t i = 0; i < layout.items.size(); ++i) {
    const PlannedCapture& capture = plan.captures()[i];
    specs.push_back({capture.site,
                     capture.layer,
                     capture.name,
                     capture.store,
                     capture.where.heads,
                     capture.where.neurons,
                     {},
                     layout.items[i].bytes});
    for (const CaptureLayout::Sequence& sequence : layout.items[i].sequences)
      specs.back().shapes.push_back(
          captured_shape(capture, std::ssize(sequence.rows), sequence.keys));
  }
  return specs;
}

HookPlan Model::compile(const Hooks& hooks) const {
  return {state_, std::make_shared<const CompiledHooks>(hooks, *state_)};
}

}  // namespace vitrine
