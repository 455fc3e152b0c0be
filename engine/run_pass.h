// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>

#include "engine/forward.h"
#include "engine/kv_cache.h"
#include "engine/model_state.h"
#include "hooks/hook_run.h"
#include "hooks/plan.h"
#include "vitrine/model.h"

namespace vitrine::internal {

/// Logits of one pass: the rows of all sequences, packed, in the backend's memory.
struct PassLogits {
  Buffer memory;
  std::vector<int64_t> rows;     ///< of the packed batch
  std::vector<int64_t> offsets;  ///< first logit row of each sequence, then the total
};

/// A cache of all layers for sequences of these capacities. Throws Error (user) if it does not fit
/// in memory.
KvCache make_cache(const ModelState& model, std::vector<int64_t> capacities);

/// A cache of one layer for a pass over a whole batch, which is checked first. Throws Error (user)
/// as check_batch does.
KvCache transient_cache(const ModelState& model, const Batch& batch);

/// Throws Error (user) if the batch or a sequence is empty, an id is outside the vocabulary, a
/// sequence is longer than the context, or an embedding that it reads is not finite.
void check_batch(const ModelState& model, const Batch& batch);
/// The same for sequences that continue those of a cache; one may have no new tokens. Throws Error
/// (user) also for one that would be longer than its room in the cache.
void check_batch(const ModelState& model, const Batch& batch, const KvCache& cache);

/// The same bytes where the host can read them.
Buffer on_host(const ModelState& model, const Buffer& memory, size_t bytes);

class PreparedPass;

/// Where a pass begins, if not with the embeddings: a layer, and what writes its resid_pre.
struct PassStart {
  std::optional<int> layer;
  std::function<void(PreparedPass&)> place;
};

/// The last site that is captured or edited, where a pass may end if it gives no logits and is not
/// continued. Nothing: it runs to its end.
std::optional<PassPoint> last_used(const Plan& plan, const Config& config);

/// One forward pass: lays out and checks memory, runs, collects captures where `options` wants
/// them, and moves the cache's lengths forward. The batch has been checked.
PassLogits run_pass(const ModelState& model, const Plan& plan, KvCache& cache, const Batch& tokens,
                    const ForwardOptions& options, CaptureCollector& collector,
                    const PassStart& start = {});

/// The public result of a pass.
Run make_run(const ModelState& model, const KvCache& cache, const Batch& tokens,
             const PassLogits& logits, const ForwardOptions& options, CaptureCollector& collector);

}  // namespace vitrine::internal
