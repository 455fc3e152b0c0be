// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "engine/activations.h"
#include "engine/forward.h"
#include "engine/kv_cache.h"
#include "engine/model_state.h"
#include "engine/run_pass.h"
#include "hooks/hook_run.h"

namespace vitrine::internal {

/// The rows of a packed batch: no padding, each sequence's rows follow those of the previous one.
struct BatchRows {
  std::vector<int32_t> ids, positions;
  std::vector<SequenceSlice> slices;
  int64_t map_elements = 0;

  BatchRows(const Config& config, const Batch& tokens, const KvCache& cache);
};

/// A pass laid out, but without memory: what it will need.
struct PassPlan {
  /// `tokens` have been checked. Throws Error (user) for a capture at a position or sequence that
  /// is not in the batch.
  PassPlan(const ModelState& model, const Plan& plan, const KvCache& cache, const Batch& tokens,
           LogitRows wanted, Keep keep = Keep::kNothing);

  BatchRows rows;
  PassLogits logits;  ///< without memory
  CaptureLayout layout;
  Activations::Sizes sizes;
  Keep keep;
  size_t working_bytes = 0, logit_bytes = 0;

  size_t bytes() const { return working_bytes + logit_bytes + layout.bytes; }
  /// "activations 3.1 MB, logits 0.2 MB, ..." for the message that refuses a run.
  std::string parts(const Plan& plan) const;
};

/// A pass with all of its memory taken and the batch placed: ready to run. Stays where it was made.
class PreparedPass {
 public:
  /// Throws Error (user) if the pass does not fit in memory, naming the bytes by site. `begin_at`:
  /// a layer whose resid_pre the caller writes before run(); nothing: the pass begins with the
  /// embeddings.
  PreparedPass(const ModelState& model, const Plan& plan, const KvCache& cache, PassPlan laid_out,
               std::optional<int> begin_at = {});
  PreparedPass(const PreparedPass&) = delete;
  PreparedPass& operator=(const PreparedPass&) = delete;

  /// Places other tokens, as many of each sequence, from where the cache ends by now.
  void place(const KvCache& cache, const Batch& tokens);
  /// Issues the pass's operations, captures and edits among them. The cache's lengths are the
  /// caller's to move on.
  void run();

  const PassPlan& laid_out() const { return laid_out_; }
  const BatchRows& rows() const { return laid_out_.rows; }
  const PassBatch& batch() const { return batch_; }
  const CaptureLayout& layout() const { return laid_out_.layout; }
  const Buffer& captured() const { return captured_; }
  const PassLogits& logits() const { return laid_out_.logits; }
  Mat logit_matrix() const { return forward_.logits; }
  /// What the pass works on; with its activations, once it has run and kept them.
  ForwardPass& forward_pass() { return forward_; }

 private:
  PassPlan laid_out_;
  Buffer working_, captured_, placed_;
  PassBatch batch_;
  Activations activations_;
  HookRun hooks_;
  ForwardPass forward_;
};

}  // namespace vitrine::internal
