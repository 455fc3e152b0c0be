// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/recorded_steps.h"
#include "hooks/plan.h"

namespace vitrine::internal {

/// What a generation works on, and the next one of the same shape can: recording a step takes as
/// long as some ten steps. The recording refers to the other members.
struct GenerationMemory {
  Plan plan;
  KvCache cache;
  std::shared_ptr<RecordedSteps> steps;  ///< the first that were recorded, or null

  size_t bytes() const { return cache.bytes() + (steps ? steps->bytes() : 0); }
};

/// The memory of a model's last generation.
class KeptGeneration {
 public:
  /// The kept memory, with empty sequences, if it is for these captures and capacities; otherwise
  /// it is given up. Null then, and for a plan with edits.
  std::unique_ptr<GenerationMemory> take(const Plan& plan, const std::vector<int64_t>& capacities);
  /// Keeps what has a recorded step and no edits, whose operands another call may change.
  void keep(std::unique_ptr<GenerationMemory> memory);
  void drop() { keep(nullptr); }
  size_t bytes() const;

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<GenerationMemory> memory_;
};

}  // namespace vitrine::internal
