// SPDX-License-Identifier: MIT
#include "tokenizer/word_cache.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "base/large_pages.h"

namespace vitrine::internal {

// Words lie all over the cache: in small pages, nearly each would have to wait for its page to be
// found.
WordCache::WordCache() {
  constexpr size_t kShortBytes = sizeof(ShortSet) << kShortSetBits, kLongBytes = sizeof(LongEntry)
                                                                                 << kLongBits;
  memory_ = map_large_pages(kShortBytes + kLongBytes);
  if (memory_ == nullptr) throw std::bad_alloc();
  short_sets_ = reinterpret_cast<ShortSet*>(memory_.get());
  long_entries_ = reinterpret_cast<LongEntry*>(memory_.get() + kShortBytes);
}

void WordCache::insert(const ShortWord& word, const int32_t* ids, size_t count) {
  ShortSet& set = short_sets_[short_set(word)];
  // Words that share a set in turns would be merged anew each time, which takes as long as to look
  // up thirty.
  ShortEntry& spare = neighbour_of(word).entries[1];
  if (spare.back == 0) spare = set.entries[1];
  set.entries[1] = set.entries[0];
  if (count > kShortIds) count = 0;
  set.entries[0] = {word.front, word.back | uint64_t{count} << 60, {}};
  std::copy(ids, ids + count, set.entries[0].ids);
}

WordCache::LongEntry& WordCache::long_entry(std::string_view word) const {
  return long_entries_[std::hash<std::string_view>()(word) & ((size_t{1} << kLongBits) - 1)];
}

bool WordCache::find(std::string_view word, std::vector<int32_t>& out) const {
  if (word.size() > kMaxBytes) return false;
  const LongEntry& entry = long_entry(word);
  if (std::string_view(entry.bytes, entry.length) != word) return false;
  out.insert(out.end(), entry.ids, entry.ids + entry.count);
  return true;
}

void WordCache::insert(std::string_view word, const int32_t* ids, size_t count) {
  if (word.size() > kMaxBytes || count > kMaxIds) return;
  LongEntry& entry = long_entry(word);
  entry.length = static_cast<uint32_t>(word.size());
  entry.count = static_cast<uint32_t>(count);
  std::copy(word.begin(), word.end(), entry.bytes);
  std::copy(ids, ids + count, entry.ids);
}

std::unique_ptr<WordCache> WordCachePool::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<WordCache>();
  std::unique_ptr<WordCache> cache = std::move(idle_.back());
  idle_.pop_back();
  return cache;
}

void WordCachePool::give(std::unique_ptr<WordCache> cache) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    idle_.push_back(std::move(cache));
  } catch (...) {
    // No memory to remember it by: it is freed instead.
  }
}

}  // namespace vitrine::internal
