// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "engine/model_state.h"
#include "vitrine/model.h"

namespace vitrine {
using namespace internal;

Tensor Model::embed(std::span<const int32_t> ids) const {
  const Config& config = state_->config;
  const auto rows = static_cast<int64_t>(ids.size());
  for (const int32_t id : ids) {
    if (id < 0 || id >= config.vocab)
      user_error("token id {} is out of range: expected 0..{}", id, config.vocab - 1);
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
