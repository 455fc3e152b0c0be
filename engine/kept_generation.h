// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/compiled_hooks.h"
#include "engine/kv_cache.h"
#include "engine/recorded_steps.h"

namespace vitrine::internal {

/// What a generation works on, and the next one of the same shape can: recording a step takes as
/// long as some ten steps. The recording refers to the other members.
struct GenerationMemory {
  std::shared_ptr<const CompiledHooks> hooks;
  KvCache cache;
  std::shared_ptr<RecordedSteps> steps;  ///< the first that were recorded, or null

  size_t bytes() const { return cache.bytes() + (steps ? steps->bytes() : 0); }
};

/// The memory of a model's last generation.
class KeptGeneration {
 public:
  /// The kept memory, with empty sequences, if it is for these hooks and capacities: the same
  /// compiled ones, or equal captures without edits. Otherwise it is given up, and this is null.
  std::unique_ptr<GenerationMemory> take(const CompiledHooks& hooks,
                                         const std::vector<int64_t>& capacities);
  /// Keeps what has a recorded step.
  void keep(std::unique_ptr<GenerationMemory> memory);
  void drop() { keep(nullptr); }
  size_t bytes() const;

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<GenerationMemory> memory_;
};

}  // namespace vitrine::internal
