// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/prepared_pass.h"
#include "vitrine/generate.h"

namespace vitrine::internal {

/// The steps of a generation on a backend that records: one pass over one new token a sequence is
/// recorded, with its captures and edits, the choice of the next token and the moving on, and
/// replayed once for each step.
class RecordedSteps {
 public:
  /// Why passes with these hooks cannot be recorded, as the end of a sentence
  /// ("blocks.3.hook_resid_post is edited by a callback"); empty if they can.
  static std::string refusal(const ModelState& model, const Plan& plan);

  /// For up to `steps` steps of generations of this batch's shape: `next` holds one token for each
  /// sequence that goes on. Everything given must outlive the object. Throws Error (user) if it
  /// does not fit in memory.
  RecordedSteps(const ModelState& model, const Plan& plan, const KvCache& cache, const Batch& next,
                const SamplingOptions& sampling, int steps);
  /// Whether they can be those steps.
  bool serve(const Batch& next, const SamplingOptions& sampling, int steps) const;
  /// Begins a generation's steps with `next`, at the cache's lengths. `uniforms` [steps, sequences
  /// that go on] are for the choices.
  void begin(const Batch& next, const std::vector<double>& uniforms);
  size_t bytes() const { return pass_.laid_out().bytes() + numbers_.bytes() + history_.bytes(); }

  ~RecordedSteps() { finish(); }
  RecordedSteps(const RecordedSteps&) = delete;
  RecordedSteps& operator=(const RecordedSteps&) = delete;

  /// Queues one more step. With `watched`, its tokens leave the device as soon as they are chosen,
  /// whatever is queued after it: either for all steps or for none.
  void step(bool watched);
  /// The tokens that `count` queued steps from number `first` on have chosen: [count, sequences
  /// that go on]. Waits for them; where steps are watched, for no later ones.
  std::vector<int32_t> tokens(int first, int count);
  /// Hands over what steps 0 .. `steps` - 1 have captured; of step i for the sequences with
  /// `lasted[s]` > i only.
  void collect(int steps, const std::vector<int>& lasted, CaptureCollector& collector);

 private:
  /// Under the backend's lock, which is held while the members are made.
  RecordedSteps(const std::unique_lock<std::recursive_mutex>& lock, const ModelState& model,
                const Plan& plan, const KvCache& cache, const Batch& next,
                const SamplingOptions& sampling, int steps);
  /// Waits for the tokens that are on their way.
  void finish() noexcept;

  const ModelState& model_;
  const Plan& plan_;
  const KvCache& cache_;
  PreparedPass pass_;
  int64_t rows_;
  int steps_;
  size_t captured_bytes_;
  Buffer numbers_, history_;
  Buffer left_;  ///< tokens that have left the device, [steps, rows]
  std::vector<std::function<void()>> arrivals_;  ///< of each watched step's
  NextStepArgs args_;
  std::unique_ptr<Recording> recording_;
};

}  // namespace vitrine::internal
