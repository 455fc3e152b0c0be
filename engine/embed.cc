// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/check.h"
#include "engine/model_state.h"
#include "vitrine/model.h"

namespace vitrine {
using namespace internal;

namespace {

void check_ids(std::span<const int32_t> ids, int64_t vocab) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab)
      user_error("token id {} is out of range: expected 0..{}", id, vocab - 1);
  }
}

}  // namespace

Tensor Model::unembedding(std::span<const int32_t> ids) const {
  check_ids(ids, state_->config.vocab);
  return state_->unembedding(ids);
}

Tensor Model::unembedding_bias(std::span<const int32_t> ids) const {
  check_ids(ids, state_->config.vocab);
  Tensor result(DType::kF32, {static_cast<int64_t>(ids.size())});
  const float* all = state_->weights.unembedding_bias;
  if (all == nullptr) return result;
  std::vector<float> bias(static_cast<size_t>(state_->config.vocab));
  const auto lock = state_->backend->exclusive();
  state_->backend->download(bias.data(), all, bias.size() * sizeof(float));
  std::ranges::transform(ids, result.f32().begin(),
                         [&](int32_t id) { return bias[static_cast<size_t>(id)]; });
  return result;
}

Tensor Model::embed(std::span<const int32_t> ids) const {
  const Config& config = state_->config;
  const auto rows = static_cast<int64_t>(ids.size());
  check_ids(ids, config.vocab);
  for (const int32_t id : ids) {
    if (std::ranges::binary_search(state_->bad_tokens, id))
      user_error("token id {}: its embedding is NaN or infinite in the checkpoint", id);
  }
  Tensor result(DType::kF32, Shape{rows, config.width});
  if (rows == 0) return result;

  Backend& backend = *state_->backend;
  const auto lock = backend.exclusive();
  const std::vector<int32_t> positions(ids.size());  // none is looked up
  const SequenceSlice slice{.rows = rows};
  Buffer placed = state_->pool->take(backend.batch_bytes(rows, 1));
  const PassBatch batch{ids, positions, {&slice, 1}, placed.data()};
  backend.place(batch);
  Buffer memory = state_->pool->take(result.view().bytes());
  backend.lookup(batch, Lookup::kTokens, state_->weights.token_embedding,
                 Mat(memory.f32(), rows, config.width));
  backend.download(result.data(), memory.data(), result.view().bytes());
  return result;
}

}  // namespace vitrine
