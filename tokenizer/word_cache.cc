#include "tokenizer/word_cache.h"

#include <algorithm>
#include <string>
#include <utility>

namespace vitrine {

WordCache::WordCache()
    : short_sets_(std::make_unique<ShortSet[]>(size_t{1} << kShortSetBits)),
      long_entries_(std::make_unique<LongEntry[]>(size_t{1} << kLongBits)) {}

void WordCache::insert(const ShortWord& word, const int32_t* ids, size_t count) {
  ShortSet& set = short_sets_[short_set(word)];
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

}  // namespace vitrine
