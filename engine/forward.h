#pragma once

#include <cstdint>
#include <span>

#include "engine/activations.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"
#include "hooks/hook_run.h"
#include "kernels/backend.h"
#include "vitrine/config.h"

namespace vitrine {

/// Everything that one pass works on.
struct ForwardPass {
  Backend& backend;
  const Config& config;
  Activation activation;  ///< config.activation, looked up once
  const Weights& weights;
  const KvCache& cache;
  HookRun& hooks;
  Activations& act;
  const PassBatch& batch;                  ///< placed
  std::span<const int64_t> logit_rows;     ///< rows that get logits, ascending
  Mat logits;                              ///< [logit rows, V]
};

/// The forward pass of GPT-2: the only one, for prefill and decode, with hooks and without, on every backend.
void forward(ForwardPass& pass);

}  // namespace vitrine
