// SPDX-License-Identifier: MIT
#include "tokenizer/merges.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <random>

#include "base/check.h"

namespace vitrine::internal {
namespace {

// Up to this many bytes, looking through all pairs for the best one is faster than a heap.
constexpr size_t kShortWord = 48;

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

constexpr uint32_t kNoSymbol = UINT32_MAX;

// Slots that one look-up may pass. Files of use need some tens.
constexpr size_t kMaxProbes = 1024;

}  // namespace

MergeTable::MergeTable(const std::array<int32_t, 256>& byte_ids,
                       const std::vector<MergeRule>& rules)
    : byte_ids_(byte_ids) {
  const size_t size = std::bit_ceil(2 * rules.size() + 2);
  shift_ = 64 - std::countr_zero(size);
  factor_ = 0x9E3779B97F4A7C15u;
  for (slots_.resize(size); !fill(rules); slots_.assign(size, {})) {
    // A file made so that its pairs meet under one factor is not made for a random one.
    std::random_device random;
    factor_ = uint64_t{random()} << 32 | random() | 1;
  }
}

// False if pairs meet so often that a look-up would take long.
bool MergeTable::fill(const std::vector<MergeRule>& rules) {
  for (size_t rank = 0; rank < rules.size(); ++rank) {
    const uint64_t pair = pair_key(rules[rank].left, rules[rank].right);
    size_t at = slot_of(pair), probes = 0;
    for (; slots_[at].rank != kNoRank; at = (at + 1) & (slots_.size() - 1)) {
      if (++probes > kMaxProbes) return false;
    }
    slots_[at] = {pair, static_cast<uint32_t>(rank), rules[rank].product};
  }
  return true;
}

const MergeTable::Slot& MergeTable::find(int32_t left, int32_t right) const {
  static constexpr Slot kNoSlot{};
  const uint64_t pair = pair_key(left, right);
  size_t at = slot_of(pair);
  for (size_t probes = 0; probes <= kMaxProbes; ++probes, at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair || slots_[at].rank == kNoRank) return slots_[at];
  }
  return kNoSlot;
}

int32_t MergeTable::byte_id(char byte) const {
  const int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
  if (id < 0) {
    user_error(
        "missing token for byte 0x{:02x} of the text: expected a vocabulary with all 256 bytes",
        static_cast<unsigned char>(byte));
  }
  return id;
}

void MergeTable::merge(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const {
  if (word.size() <= kShortWord) return merge_short(word, out);
  merge_long(word, scratch, out);
}

void MergeTable::merge_short(std::string_view word, std::vector<int32_t>& out) const {
  int32_t ids[kShortWord];
  Slot pairs[kShortWord];  // pairs[i]: what ids[i] and ids[i + 1] make
  size_t count = word.size();
  for (size_t i = 0; i < count; ++i) ids[i] = byte_id(word[i]);
  for (size_t i = 0; i + 1 < count; ++i)
    __builtin_prefetch(&slots_[slot_of(pair_key(ids[i], ids[i + 1]))]);
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = find(ids[i], ids[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    ids[best] = pairs[best].product;
    --count;
    std::copy(ids + best + 2, ids + count + 1, ids + best + 1);
    if (best + 1 < count) std::copy(pairs + best + 2, pairs + count, pairs + best + 1);
    if (best > 0) __builtin_prefetch(&slots_[slot_of(pair_key(ids[best - 1], ids[best]))]);
    if (best + 1 < count) pairs[best] = find(ids[best], ids[best + 1]);
    if (best > 0) pairs[best - 1] = find(ids[best - 1], ids[best]);
  }
  out.insert(out.end(), ids, ids + count);
}

void MergeTable::merge_long(std::string_view word, Scratch& scratch,
                            std::vector<int32_t>& out) const {
  if (word.size() >= kNoSymbol)
    user_error("a word is {} bytes long: expected at most {}; split the text", word.size(),
               kNoSymbol - 1);
  const auto count = static_cast<uint32_t>(word.size());
  auto& symbols = scratch.symbols;
  symbols.resize(count);
  for (uint32_t i = 0; i < count; ++i)
    symbols[i] = {byte_id(word[i]), i == 0 ? kNoSymbol : i - 1, i + 1 == count ? kNoSymbol : i + 1};
  merge_symbols(scratch);
  for (uint32_t i = 0; i != kNoSymbol; i = symbols[i].next) out.push_back(symbols[i].id);
}

void MergeTable::merge(std::span<const int32_t> ids, Scratch& scratch,
                       std::vector<Merged>& out) const {
  if (ids.empty()) return;
  const auto count = static_cast<uint32_t>(ids.size());
  auto& symbols = scratch.symbols;
  symbols.resize(count);
  for (uint32_t i = 0; i < count; ++i)
    symbols[i] = {ids[i], i == 0 ? kNoSymbol : i - 1, i + 1 == count ? kNoSymbol : i + 1};
  merge_symbols(scratch);
  for (uint32_t i = 0; i != kNoSymbol; i = symbols[i].next) out.push_back({symbols[i].id, i});
}

void MergeTable::merge_symbols(Scratch& scratch) const {
  constexpr int32_t kMerged = -1;
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  heap.clear();
  // The best rule on top; of equals, the leftmost.
  const auto worse = [](const Scratch::Candidate& a, const Scratch::Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
  };
  const auto candidate = [&](uint32_t at) {
    const Slot& slot = find(symbols[at].id, symbols[symbols[at].next].id);
    if (slot.rank != kNoRank) heap.push_back({slot.rank, at, slot.product});
    return slot.rank != kNoRank;
  };
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) candidate(i);
  std::make_heap(heap.begin(), heap.end(), worse);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), worse);
    const Scratch::Candidate best = heap.back();
    heap.pop_back();
    // The pair may be gone: merged into its left neighbour, or changed by a merge on either side.
    Scratch::Symbol& left = symbols[best.at];
    if (left.id == kMerged || left.next == kNoSymbol ||
        find(left.id, symbols[left.next].id).rank != best.rank)
      continue;
    Scratch::Symbol& right = symbols[left.next];
    left.id = best.product;
    left.next = right.next;
    right.id = kMerged;
    if (left.next != kNoSymbol) symbols[left.next].previous = best.at;
    if (left.next != kNoSymbol && candidate(best.at))
      std::push_heap(heap.begin(), heap.end(), worse);
    if (left.previous != kNoSymbol && candidate(left.previous))
      std::push_heap(heap.begin(), heap.end(), worse);
  }
}

}  // namespace vitrine::internal
