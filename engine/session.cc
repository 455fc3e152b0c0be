// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "engine/compiled_hooks.h"
#include "engine/given_residuals.h"
#include "engine/model_state.h"
#include "engine/prepared_pass.h"
#include "engine/run_pass.h"

namespace vitrine {
using namespace internal;

struct Session::State {
  std::shared_ptr<const ModelState> model;
  KvCache cache;
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Session Model::session(int sequences, int64_t capacity) const {
  if (sequences < 1)
    user_error("invalid session of {} sequences: expected at least one", sequences);
  if (capacity == 0) capacity = state_->config.context;
  if (capacity < 0 || capacity > state_->config.context) {
    user_error("invalid session capacity of {} positions: expected 1..{}", capacity,
               state_->config.context);
  }
  auto state = std::make_unique<Session::State>();
  state->model = state_;
  state->cache =
      make_cache(*state_, std::vector<int64_t>(static_cast<size_t>(sequences), capacity));
  return Session(std::move(state));
}

HookPlan Session::compile(const Hooks& hooks) const { return Model(state_->model).compile(hooks); }

Run Session::forward(const Batch& tokens, const Hooks& hooks, const ForwardOptions& options) {
  return forward(tokens, compile(hooks), options);
}

Run Session::forward(const Batch& tokens, const HookPlan& plan, const ForwardOptions& options) {
  const ModelState& model = *state_->model;
  const Plan& hooks = forward_plan(plan, model);
  check_batch(model, tokens, state_->cache);
  CaptureCollector collector;
  const PassLogits logits = run_pass(model, hooks, state_->cache, tokens, options, collector);
  return make_run(model, state_->cache, tokens, logits, options, collector);
}

Run Session::forward_from(int layer, const std::vector<TensorView>& residuals, const Hooks& hooks,
                          const ForwardOptions& options) {
  return forward_from(layer, residuals, compile(hooks), options);
}

Run Session::forward_from(int layer, const std::vector<TensorView>& residuals, const HookPlan& plan,
                          const ForwardOptions& options) {
  const ModelState& model = *state_->model;
  const GivenResiduals given(model, layer, residuals);
  check_batch(model, given.tokens, state_->cache);
  const Plan& hooks = forward_plan(plan, model);
  check_reached(hooks, layer);
  CaptureCollector collector;
  const PassLogits logits =
      run_pass(model, hooks, state_->cache, given.tokens, options, collector, given.start);
  return make_run(model, state_->cache, given.tokens, logits, options, collector);
}

Session Session::fork(int sequence, int copies) const {
  const int64_t now = length(sequence);
  if (copies < 1) user_error("invalid fork of {} copies: expected at least one", copies);
  const ModelState& model = *state_->model;
  auto state = std::make_unique<Session::State>();
  state->model = state_->model;
  state->cache = make_cache(
      model, std::vector<int64_t>(static_cast<size_t>(copies), state_->cache.capacity(sequence)));
  const auto lock = model.backend->exclusive();
  for (int copy = 0; copy < copies; ++copy) {
    for (int layer = 0; layer < model.config.layers; ++layer) {
      model.backend->copy(state->cache.layer(layer) + state->cache.offset(copy),
                          state_->cache.layer(layer) + state_->cache.offset(sequence),
                          state_->cache.sequence_bytes(sequence));
    }
    state->cache.set_length(copy, now);
  }
  return Session(std::move(state));
}

int64_t Session::length(int sequence) const {
  if (sequence < 0 || sequence >= state_->cache.sequences())
    user_error("sequence {} is out of range: expected 0..{}", sequence,
               state_->cache.sequences() - 1);
  return state_->cache.length(sequence);
}

void Session::truncate(int sequence, int64_t length) {
  const int64_t now = this->length(sequence);
  if (length < 0 || length > now)
    user_error("sequence {} cannot be truncated to {} tokens: it has {}", sequence, length, now);
  state_->cache.set_length(sequence, length);
}

}  // namespace vitrine
