// SPDX-License-Identifier: MIT
#include "vitrine/logit_rows.h"

#include <algorithm>

#include "engine/unembed_rows.h"

namespace vitrine {
using namespace internal;

void visit_logits(const Model& model, TensorView rows, bool final_layernorm,
                  const LogitVisitor& visit) {
  const ModelState& state = state_of(model);
  Backend& backend = *state.backend;
  const auto lock = backend.exclusive();
  const UnembedRows placed(state, rows, final_layernorm);
  const Mat x = placed.mat();
  const auto vocab = static_cast<size_t>(state.config.vocab);
  const auto at_once = std::min(kLogitRowsAtOnce, x.rows);
  if (at_once == 0) return;
  const size_t bytes = static_cast<size_t>(at_once) * vocab * sizeof(float);
  const Buffer computed = state.pool->take(bytes);
  const Buffer brought = backend.host_memory() ? computed : state.host_pool->take(bytes);
  for (int64_t begin = 0; begin < x.rows; begin += at_once) {
    const int64_t count = std::min(at_once, x.rows - begin);
    const Mat logits(computed.f32(), count, static_cast<int64_t>(vocab));
    backend.linear({.x = x.row_range(begin, count),
                    .weight = &state.weights.unembedding,
                    .bias = state.weights.unembedding_bias,
                    .out = logits});
    if (!backend.host_memory())
      backend.download(brought.data(), computed.data(),
                       static_cast<size_t>(count) * vocab * sizeof(float));
    for (int64_t r = 0; r < count; ++r)
      visit(begin + r, {brought.f32() + static_cast<size_t>(r) * vocab, vocab});
  }
}

}  // namespace vitrine
