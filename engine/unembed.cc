// SPDX-License-Identifier: MIT
#include <algorithm>
#include <optional>

#include "base/check.h"
#include "engine/unembed_rows.h"

namespace vitrine {
using namespace internal;
namespace {

void check(const Config& config, int64_t count, const UnembedOptions& options) {
  if (options.rows_are_logits && options.final_layernorm)
    user_error("invalid final_layernorm: the rows are logits, which follow it");
  if (options.top_k < 0)
    user_error("top_k {} is out of range: expected 0 (none) or more", options.top_k);
  if (!options.targets.empty() && static_cast<int64_t>(options.targets.size()) != count) {
    user_error("unembed has {} targets for {} rows: expected one per row, or none",
               options.targets.size(), count);
  }
  for (const std::vector<int32_t>* ids : {&options.targets, &options.watch}) {
    for (int32_t id : *ids) {
      if (id < 0 || id >= config.vocab)
        user_error("token id {} is out of range: expected 0..{}", id, config.vocab - 1);
    }
  }
}

/// The ids that the kernel looks up in each row: the target first, where there is one, then the
/// watched.
std::vector<int32_t> ids_by_row(const UnembedOptions& options, int64_t rows) {
  std::vector<int32_t> ids;
  for (int64_t r = 0; r < rows; ++r) {
    if (!options.targets.empty()) ids.push_back(options.targets[static_cast<size_t>(r)]);
    ids.insert(ids.end(), options.watch.begin(), options.watch.end());
  }
  return ids;
}

template <typename T>
void split(const std::vector<T>& looked_up, size_t rows, bool has_target, std::vector<T>& target,
           std::vector<T>& watched) {
  const size_t each = rows == 0 ? 0 : looked_up.size() / rows;
  for (size_t i = 0; i < looked_up.size(); ++i)
    (has_target && i % each == 0 ? target : watched).push_back(looked_up[i]);
}

}  // namespace

LogitStats Model::unembed(TensorView rows, const UnembedOptions& options) const {
  const Config& config = state_->config;
  Backend& backend = *state_->backend;
  const auto lock = backend.exclusive();
  Buffer memory;
  std::optional<UnembedRows> placed;
  LogitStatsArgs args;
  if (options.rows_are_logits) {
    args.logits = place_rows(*state_, rows, config.vocab, "the vocabulary's size", memory);
  } else {
    args.x = placed.emplace(*state_, rows, options.final_layernorm).mat();
    args.unembed = &state_->weights.unembedding;
    args.bias = state_->weights.unembedding_bias;
  }
  LogitStats stats;
  stats.rows = options.rows_are_logits ? args.logits.rows : args.x.rows;
  check(config, stats.rows, options);
  stats.top_k = static_cast<int>(std::min<int64_t>(options.top_k, config.vocab));
  if (stats.rows == 0) return stats;

  const size_t n = static_cast<size_t>(stats.rows);
  const std::vector<int32_t> ids = ids_by_row(options, stats.rows);
  std::vector<float> logits(ids.size());
  std::vector<int32_t> ranks(ids.size());
  stats.top_ids.resize(n * static_cast<size_t>(stats.top_k));
  stats.top_logits.resize(stats.top_ids.size());
  stats.lse.resize(n);
  stats.entropy.resize(n);
  args.top_k = stats.top_k;
  args.top_ids = stats.top_ids.data();
  args.top_logits = stats.top_logits.data();
  args.lse = stats.lse.data();
  args.entropy = stats.entropy.data();
  args.watch = ids;
  args.watch_logits = logits.data();
  args.watch_ranks = ranks.data();
  backend.logit_stats(args);
  split(logits, n, !options.targets.empty(), stats.target_logits, stats.watch_logits);
  split(ranks, n, !options.targets.empty(), stats.target_ranks, stats.watch_ranks);
  return stats;
}

}  // namespace vitrine
