#pragma once

#include "engine/activations.h"
#include "engine/kv_cache.h"
#include "engine/model_state.h"
#include "engine/run_pass.h"
#include "hooks/hook_run.h"

namespace vitrine {

/// The rows of a packed batch: no padding, each sequence's rows behind those of the one before.
struct BatchRows {
  std::vector<int32_t> ids, positions;
  std::vector<SequenceSlice> slices;
  int64_t map_elements = 0;

  BatchRows(const Config& config, const Batch& tokens, const KvCache& cache);
};

/// A pass with all of its memory: laid out, checked, taken, the batch placed: ready to run. Stays where it was made.
class PreparedPass {
 public:
  /// `tokens` have been checked. Throws Error (user) if the pass does not fit in memory, naming the bytes by site.
  PreparedPass(const ModelState& model, const Plan& plan, const KvCache& cache, const Batch& tokens, LogitRows wanted);
  PreparedPass(const PreparedPass&) = delete;
  PreparedPass& operator=(const PreparedPass&) = delete;

  /// Issues the pass's operations, captures and edits among them. The cache's lengths are the caller's to move on.
  void run();

  const BatchRows& rows() const { return rows_; }
  const PassBatch& batch() const { return batch_; }
  const CaptureLayout& layout() const { return layout_; }
  const Buffer& captured() const { return captured_; }
  const PassLogits& logits() const { return logits_; }
  Mat logit_matrix() const;

 private:
  const ModelState& model_;
  const Plan& plan_;
  const KvCache& cache_;
  BatchRows rows_;
  PassLogits logits_;
  CaptureLayout layout_;
  Buffer working_, captured_, placed_;
  PassBatch batch_;
};

}  // namespace vitrine
