// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// The tokens `left` and `right`, side by side, become `product`. Merges are listed best first.
struct MergeRule {
  int32_t left, right, product;
};

/// Byte-pair merging of one word. Immutable.
class MergeTable {
 public:
  /// A pair that no rule merges.
  static constexpr uint32_t kNoRank = UINT32_MAX;

  /// Room for merge(), so that words share one allocation.
  struct Scratch {
    struct Symbol {
      int32_t id;
      uint32_t previous, next;
    };
    struct Candidate {
      uint32_t rank, at;
      int32_t product;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  /// `byte_ids` are the tokens of the 256 single bytes (-1: the vocabulary has none). Each pair
  /// occurs in at most one rule.
  MergeTable(const std::array<int32_t, 256>& byte_ids, const std::vector<MergeRule>& rules);

  /// Appends the tokens of `word`: its bytes, in which the adjacent pair of the best rule, the
  /// leftmost of equals, is merged until no rule applies. Time grows as n log n. Throws Error
  /// (user) for a byte that the vocabulary does not have.
  void merge(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const;

  struct Merged {
    int32_t id;
    uint32_t first;  ///< of the merged tokens, the first one's index
  };
  /// The same for tokens that are given, less than 2^32 - 1.
  void merge(std::span<const int32_t> ids, Scratch& scratch, std::vector<Merged>& out) const;

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = kNoRank;
    int32_t product = -1;
  };

  size_t slot_of(uint64_t pair) const { return pair * factor_ >> shift_; }
  bool fill(const std::vector<MergeRule>& rules);
  const Slot& find(int32_t left, int32_t right) const;
  int32_t byte_id(char byte) const;
  void merge_short(std::string_view word, std::vector<int32_t>& out) const;
  void merge_long(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const;
  void merge_symbols(Scratch& scratch) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;  // open addressing; a power of two in size, at most half full
  int shift_ = 0;
  uint64_t factor_ = 0;  // of the hash
};

}  // namespace vitrine::internal
