#include "base/check.h"
#include "engine/model_state.h"
#include "engine/run_pass.h"

namespace vitrine {

struct Session::State {
  std::shared_ptr<const ModelState> model;
  KvCache cache;
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Session Model::session(int sequences, int64_t capacity) const {
  if (sequences < 1) user_error("a session of {} sequences; give at least one", sequences);
  if (capacity == 0) capacity = state_->config.context;
  if (capacity < 0 || capacity > state_->config.context) {
    user_error("a session of {} positions; the model's context is 1..{}", capacity, state_->config.context);
  }
  auto state = std::make_unique<Session::State>();
  state->model = state_;
  state->cache = make_cache(*state_, std::vector<int64_t>(static_cast<size_t>(sequences), capacity));
  return Session(std::move(state));
}

Run Session::forward(const Batch& tokens, const Hooks& hooks, const ForwardOptions& options) {
  const ModelState& model = *state_->model;
  check_batch(model.config, tokens, state_->cache, true);
  const Plan plan(hooks, model.config, *model.backend);
  CaptureCollector collector;
  const PassLogits logits = run_pass(model, plan, state_->cache, tokens, options, collector);
  return make_run(model, state_->cache, tokens, logits, options, collector);
}

int64_t Session::length(int sequence) const {
  if (sequence < 0 || sequence >= state_->cache.sequences()) user_error("sequence {} is outside the session's 0..{}", sequence, state_->cache.sequences() - 1);
  return state_->cache.length(sequence);
}

void Session::truncate(int sequence, int64_t length) {
  const int64_t now = this->length(sequence);
  if (length < 0 || length > now) user_error("sequence {} cannot be cut to {} tokens; it has {}", sequence, length, now);
  state_->cache.set_length(sequence, length);
}

}  // namespace vitrine
