// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "engine/activations.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"
#include "hooks/hook_run.h"
#include "kernels/backend.h"
#include "vitrine/config.h"

namespace vitrine::internal {

/// Where in a pass a site comes: the embeddings at depth -1, block l at l, what follows the blocks
/// at L.
struct PassPoint {
  int depth = -1;
  Site site = Site::kEmbed;
  friend auto operator<=>(const PassPoint&, const PassPoint&) = default;
};
PassPoint pass_point(Site site, int layer, const Config& config);

/// Everything that one pass works on.
struct ForwardPass {
  Backend& backend;
  const Config& config;
  Activation activation;  ///< config.activation, looked up once
  const Weights& weights;
  const KvCache& cache;
  HookRun& hooks;
  Activations& act;
  const PassBatch& batch;               ///< placed
  std::span<const int64_t> logit_rows;  ///< rows that get logits, ascending
  Mat logits;                           ///< [logit rows, V]
  std::optional<int>
      begin_at;  ///< a layer whose resid_pre is there already; nothing: begin with the embeddings
  const std::function<void()>& between_layers;  ///< ModelOptions::between_layers
  std::optional<PassPoint> end_at = {};  ///< a site after which the pass ends; nothing: the logits

  LayerActivations& layer(int l) const { return act.layers[static_cast<size_t>(l)]; }
  const LayerWeights& layer_weights(int l) const { return weights.layers[static_cast<size_t>(l)]; }
  /// Whether nothing is wanted from this site on.
  bool ended(Site site, int layer) const {
    return end_at && *end_at < pass_point(site, layer, config);
  }
  /// Lets the caller end the pass here, with an exception.
  void pause() const {
    if (between_layers) between_layers();
  }
  /// What queries' products with keys are multiplied with.
  float attention_scale(int layer) const;
};

/// A layernorm of the model: its sites and parameters.
struct Norm {
  Site scale, normalized;
  int layer;
  const float* weight;
  const float* bias;
};
Norm norm1(const ForwardPass& pass, int layer);
Norm norm2(const ForwardPass& pass, int layer);
Norm final_norm(const ForwardPass& pass);

/// out = layernorm(x), with its sites.
void layernorm(ForwardPass& pass, const Norm& norm, Mat x, Mat out);

/// What of a block a backward pass reads, computed again from the block's kept resid_pre; the same
/// bits. The MLP's output is left out.
void recompute_block(ForwardPass& pass, int layer);

/// The forward pass of GPT-2: the only one, for prefill and decode, with hooks and without, on
/// every backend. Ends early where `end_at` says so: within a block at the halves' ends.
void forward(ForwardPass& pass);

}  // namespace vitrine::internal
