// SPDX-License-Identifier: MIT
#include "vitrine/resume.h"

#include "engine/compiled_hooks.h"
#include "engine/given_residuals.h"
#include "engine/model_state.h"
#include "engine/prepared_pass.h"
#include "engine/run_pass.h"

namespace vitrine {
using namespace internal;

Run forward_from(const Model& model, int layer, const std::vector<TensorView>& residuals,
                 const HookPlan& plan, const ForwardOptions& options) {
  const ModelState& state = state_of(model);
  const GivenResiduals given(state, layer, residuals);
  const Plan& hooks = forward_plan(plan, state);
  check_reached(hooks, layer);
  KvCache cache = transient_cache(state, given.tokens);
  CaptureCollector collector;
  const PassLogits logits =
      run_pass(state, hooks, cache, given.tokens, options, collector, given.start);
  return make_run(state, cache, given.tokens, logits, options, collector);
}

}  // namespace vitrine
