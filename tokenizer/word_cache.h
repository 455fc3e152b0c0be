// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/merges.h"
#include "tokenizer/window_masks.h"

namespace vitrine::internal {

/// A short word as two integers: its bytes, zeros, and its length in the last byte.
struct ShortWord {
  static constexpr size_t kMaxBytes = 15;

  uint64_t front, back;

  /// 16 bytes from `bytes` must be readable; `length` is 1 to kMaxBytes.
  static ShortWord read(const char* bytes, size_t length) {
    ShortWord word;
    std::memcpy(&word.front, bytes, 8);
    std::memcpy(&word.back, bytes + 8, 8);
    word.front &= kMasks[length][0];
    word.back = (word.back & kMasks[length][1]) | uint64_t{length} << 56;
    return word;
  }

 private:
  static constexpr auto kMasks = [] {
    std::array<std::array<uint64_t, 2>, kMaxBytes + 1> masks{};
    for (size_t length = 1; length <= kMaxBytes; ++length) {
      masks[length][0] = length >= 8 ? ~0ull : (1ull << 8 * length) - 1;
      masks[length][1] = length > 8 ? (1ull << 8 * (length - 8)) - 1 : 0;
    }
    return masks;
  }();
};

/// Words and their tokens, so that a word's merges are done once and not each time that it occurs.
/// Of a fixed size (about 9 MB): a new word takes the place of an old one. For one thread at a
/// time.
class WordCache {
 public:
  /// The longest word, and the most tokens of one, that are kept.
  static constexpr size_t kMaxBytes = 56, kMaxIds = 16;
  /// A short word of at most this many tokens is kept where it is found faster.
  static constexpr size_t kShortIds = 4;

  /// Half of a cache line. All zero: empty.
  struct ShortEntry {
    uint64_t front, back;  // the word; the number of its tokens in the four highest bits
    int32_t ids[kShortIds];

    size_t count() const { return back >> 60; }
    bool holds(const ShortWord& word) const {
      return ((front ^ word.front) | ((back ^ word.back) << 4)) == 0;
    }
  };

  /// Where a short word is, if it is anywhere.
  struct alignas(64) ShortSet {
    ShortEntry entries[2];  // the newer one first

    /// The entry of a word, or null. One without tokens says that the word has more than kShortIds.
    const ShortEntry* find(const ShortWord& word) const {
      // Which of the two it is cannot be foreseen, so no branch depends on it.
      const bool in_first = entries[0].holds(word), in_second = entries[1].holds(word);
      return (in_first | in_second) ? &entries[in_second] : nullptr;
    }
  };

  WordCache();

  /// Where a word is looked for first; what was displaced from there may still be known to find().
  const ShortSet& set_of(const ShortWord& word) const { return short_sets_[short_set(word)]; }
  const ShortEntry* find(const ShortWord& word) const {
    const ShortEntry* entry = set_of(word).find(word);
    const ShortEntry& displaced = neighbour_of(word).entries[1];
    return entry == nullptr && displaced.holds(word) ? &displaced : entry;
  }
  void insert(const ShortWord& word, const int32_t* ids, size_t count);

  /// Appends the tokens of `word` (any length), or returns false if it is not here.
  bool find(std::string_view word, std::vector<int32_t>& out) const;
  void insert(std::string_view word, const int32_t* ids, size_t count);

  MergeTable::Scratch& scratch() { return scratch_; }

 private:
  static constexpr int kShortSetBits = 17, kLongBits = 13;

  struct alignas(128) LongEntry {
    uint32_t length, count;  // length == 0: empty
    char bytes[kMaxBytes];
    int32_t ids[kMaxIds];
  };

  static size_t short_set(const ShortWord& word) {
    return (word.front * 0x9E3779B97F4A7C15u + word.back * 0xC2B2AE3D27D4EB4Fu) >>
           (64 - kShortSetBits);
  }
  // Of another cache line, which processors tend to fetch together with the word's own.
  ShortSet& neighbour_of(const ShortWord& word) const { return short_sets_[short_set(word) ^ 1]; }
  LongEntry& long_entry(std::string_view word) const;

  std::shared_ptr<std::byte> memory_;  // of both
  ShortSet* short_sets_;
  LongEntry* long_entries_;
  MergeTable::Scratch scratch_;
};

/// Consecutive words whose cache entries have been prefetched.
class WordWindow {
 public:
  struct Word {
    ShortWord key;  // of a longer word: of its beginning
    const WordCache::ShortSet* set;
    const char* bytes;
    size_t length;
  };

  /// The words that end at the bits of `ends`, the first of which begins at `text`; what the cache
  /// knows of them is fetched into the processor's. Returns where the last one ends. From each
  /// word's first, 16 bytes must be readable.
  size_t ask_for(const char* text, uint64_t ends, const WordCache& cache) {
    size_t at = 0;
    for (count_ = 0; ends != 0; ends &= ends - 1) {
      const auto end = static_cast<size_t>(std::countr_zero(ends));
      const ShortWord key = ShortWord::read(text + at, std::min(end - at, ShortWord::kMaxBytes));
      words_[count_] = {key, &cache.set_of(key), text + at, end - at};
      __builtin_prefetch(words_[count_++].set);
      at = end;
    }
    return at;
  }
  std::span<const Word> words() const { return {words_, count_}; }

 private:
  size_t count_ = 0;
  Word words_[kWordWindow];
};

/// Tokens collect here on their way to `out`, so that storing them needs no look at the vector's
/// capacity.
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<int32_t>& out) : out_(out) {}

  /// Room for `count` <= kCapacity tokens; they are in the buffer once filled() is told where they
  /// end.
  int32_t* room(size_t count) {
    if (size_ + count > kCapacity) flush();
    return ids_ + size_;
  }
  void filled(const int32_t* end) { size_ = static_cast<size_t>(end - ids_); }
  void flush() {
    out_.insert(out_.end(), ids_, ids_ + size_);
    size_ = 0;
  }
  /// `out`, with all that the buffer held.
  std::vector<int32_t>& flushed() {
    flush();
    return out_;
  }

 private:
  static constexpr size_t kCapacity = 2048;
  std::vector<int32_t>& out_;
  size_t size_ = 0;
  int32_t ids_[kCapacity];
};

/// Lends each caller a cache of its own; makes one where all are lent. Any thread may call it.
class WordCachePool {
 public:
  class Lease {
   public:
    explicit Lease(WordCachePool& pool) : pool_(pool), cache_(pool.take()) {}
    ~Lease() { pool_.give(std::move(cache_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    WordCache& operator*() const { return *cache_; }

   private:
    WordCachePool& pool_;
    std::unique_ptr<WordCache> cache_;
  };

 private:
  std::unique_ptr<WordCache> take();
  void give(std::unique_ptr<WordCache> cache) noexcept;

  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

}  // namespace vitrine::internal
