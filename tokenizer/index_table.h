// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vitrine::internal {

/// A hash table of the indices of things that the caller keeps side by side in a list, where a
/// table with a node for each thing would have them all over the memory.
class IndexTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit IndexTable(size_t expected = 0) { resize(2 * expected); }

  /// The index of this hash of which same(index) is true, or kNone. Hashes come from SecretHash, so
  /// that few meet.
  template <typename Same>
  uint32_t find(size_t hash, const Same& same) const {
    const auto mark = static_cast<uint32_t>(hash);
    for (size_t at = mark & mask();; at = (at + 1) & mask()) {
      const Slot& slot = slots_[at];
      if (slot.index == kNone || (slot.mark == mark && same(slot.index))) return slot.index;
    }
  }

  /// An index whose thing is not there yet.
  void insert(size_t hash, uint32_t index) {
    if (2 * ++count_ > slots_.size()) resize(2 * slots_.size());
    place({static_cast<uint32_t>(hash), index});
  }

 private:
  struct Slot {
    uint32_t mark = 0;  // of the hash
    uint32_t index = kNone;
  };

  size_t mask() const { return slots_.size() - 1; }

  void place(Slot slot) {
    size_t at = slot.mark & mask();
    while (slots_[at].index != kNone) at = (at + 1) & mask();
    slots_[at] = slot;
  }

  void resize(size_t slots) {
    std::vector<Slot> before(std::bit_ceil(std::max<size_t>(16, slots)));
    before.swap(slots_);
    for (const Slot& slot : before) {
      if (slot.index != kNone) place(slot);
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace vitrine::internal
