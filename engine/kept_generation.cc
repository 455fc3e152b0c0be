// SPDX-License-Identifier: MIT
#include "engine/kept_generation.h"

#include <algorithm>
#include <utility>

namespace vitrine::internal {
namespace {

bool same_ranges(const std::vector<Selection::Range>& a, const std::vector<Selection::Range>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.begin == y.begin && x.count == y.count;
  });
}

bool same(const PlannedCapture& a, const PlannedCapture& b) {
  return a.site == b.site && a.layer == b.layer && a.name == b.name && a.store == b.store &&
         a.where.positions == b.where.positions && a.where.sequences == b.where.sequences &&
         a.where.heads == b.where.heads && same_ranges(a.where.cols, b.where.cols);
}

bool serves(const GenerationMemory& memory, const CompiledHooks& hooks,
            const std::vector<int64_t>& capacities) {
  if (memory.cache.capacities() != capacities) return false;
  if (memory.hooks.get() == &hooks) return true;
  const Plan &own = memory.hooks->forward, &other = hooks.forward;
  return own.edits().empty() && other.edits().empty() &&
         std::equal(own.captures().begin(), own.captures().end(), other.captures().begin(),
                    other.captures().end(), same);
}

}  // namespace

std::unique_ptr<GenerationMemory> KeptGeneration::take(const CompiledHooks& hooks,
                                                       const std::vector<int64_t>& capacities) {
  std::unique_ptr<GenerationMemory> memory;
  {
    const std::lock_guard lock(mutex_);
    memory = std::move(memory_);
  }
  if (!memory || !serves(*memory, hooks, capacities)) return nullptr;
  for (int s = 0; s < memory->cache.sequences(); ++s) memory->cache.set_length(s, 0);
  return memory;
}

void KeptGeneration::keep(std::unique_ptr<GenerationMemory> memory) {
  if (memory && !memory->steps) memory = nullptr;
  const std::lock_guard lock(mutex_);
  memory_.swap(memory);
}

size_t KeptGeneration::bytes() const {
  const std::lock_guard lock(mutex_);
  return memory_ ? memory_->bytes() : 0;
}

}  // namespace vitrine::internal
