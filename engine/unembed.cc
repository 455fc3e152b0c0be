#include <algorithm>

#include "base/check.h"
#include "engine/arena.h"
#include "engine/model_state.h"

namespace vitrine {
namespace {

void check(const Config& config, TensorView rows, const UnembedOptions& options) {
  if (rows.shape().rank() < 1 || rows.shape().back() != config.width) {
    user_error("unembed was given a tensor {}; its last axis must be the model's width {}", rows.shape().to_string(), config.width);
  }
  if (options.top_k < 0) user_error("top_k {} is negative; use 0 for none", options.top_k);
  const int64_t count = rows.elements() / config.width;
  if (!options.targets.empty() && static_cast<int64_t>(options.targets.size()) != count) {
    user_error("unembed was given {} targets for {} rows; give one a row, or none", options.targets.size(), count);
  }
  for (const std::vector<int32_t>* ids : {&options.targets, &options.watch}) {
    for (int32_t id : *ids) {
      if (id < 0 || id >= config.vocab) user_error("token id {} is outside the vocabulary 0..{}", id, config.vocab - 1);
    }
  }
}

/// The rows as a float32 matrix of the backend: as they lie, if they lie there, or a copy in `memory`.
Mat place_rows(const ModelState& model, TensorView rows, Buffer& memory) {
  const int64_t width = model.config.width, count = rows.elements() / width;
  if (rows.residence() == Residence::kDevice) {
    if (rows.dtype() != DType::kF32) user_error("rows in the GPU's memory are {}; capture them as f32, or unembed rows of the host", dtype_name(rows.dtype()));
    // Nothing writes to them: the layernorm goes to a matrix of its own.
    return {static_cast<float*>(const_cast<void*>(rows.data())), count, width};
  }
  const std::vector<float> host = rows.to_f32();
  memory = model.pool->take(host.size() * sizeof(float));
  model.backend->upload(memory.data(), host.data(), host.size() * sizeof(float));
  return {memory.f32(), count, width};
}

/// The ids that the kernel looks up in each row: the target first, where there is one, then the watched.
std::vector<int32_t> ids_by_row(const UnembedOptions& options, int64_t rows) {
  std::vector<int32_t> ids;
  for (int64_t r = 0; r < rows; ++r) {
    if (!options.targets.empty()) ids.push_back(options.targets[static_cast<size_t>(r)]);
    ids.insert(ids.end(), options.watch.begin(), options.watch.end());
  }
  return ids;
}

template <typename T>
void split(const std::vector<T>& looked_up, size_t rows, bool has_target, std::vector<T>& target, std::vector<T>& watched) {
  const size_t each = rows == 0 ? 0 : looked_up.size() / rows;
  for (size_t i = 0; i < looked_up.size(); ++i) (has_target && i % each == 0 ? target : watched).push_back(looked_up[i]);
}

}  // namespace

LogitStats Model::unembed(TensorView rows, const UnembedOptions& options) const {
  const Config& config = state_->config;
  Backend& backend = *state_->backend;
  check(config, rows, options);
  LogitStats stats;
  stats.rows = rows.elements() / config.width;
  stats.top_k = static_cast<int>(std::min<int64_t>(options.top_k, config.vocab));
  if (stats.rows == 0) return stats;

  const auto lock = backend.exclusive();
  Buffer memory, normalized;
  Mat x = place_rows(*state_, rows, memory);
  if (options.final_layernorm) {
    const DType dtype = state_->activation_dtype();
    normalized = state_->pool->take(static_cast<size_t>(rows.elements()) * dtype_size(dtype));
    const Mat out(normalized.data(), x.rows, x.cols, x.cols, dtype);
    backend.layernorm({.x = x,
                       .weight = state_->weights.ln_final_weight,
                       .bias = state_->weights.ln_final_bias,
                       .epsilon = config.layer_norm_epsilon,
                       .out = out});
    x = out;
  }
  const size_t n = static_cast<size_t>(stats.rows);
  const std::vector<int32_t> ids = ids_by_row(options, stats.rows);
  std::vector<float> logits(ids.size());
  std::vector<int32_t> ranks(ids.size());
  stats.top_ids.resize(n * static_cast<size_t>(stats.top_k));
  stats.top_logits.resize(stats.top_ids.size());
  stats.lse.resize(n);
  stats.entropy.resize(n);
  backend.logit_stats({.x = x,
                       .unembed = &state_->weights.unembedding,
                       .top_k = stats.top_k,
                       .top_ids = stats.top_ids.data(),
                       .top_logits = stats.top_logits.data(),
                       .lse = stats.lse.data(),
                       .entropy = stats.entropy.data(),
                       .watch = ids,
                       .watch_logits = logits.data(),
                       .watch_ranks = ranks.data()});
  split(logits, n, !options.targets.empty(), stats.target_logits, stats.watch_logits);
  split(ranks, n, !options.targets.empty(), stats.target_ranks, stats.watch_ranks);
  return stats;
}

}  // namespace vitrine
