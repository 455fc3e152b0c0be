#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "tokenizer/merges.h"

namespace vitrine {

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

/// Words and their tokens, so that a word's merges are done once and not each time that it occurs. Of a fixed size (about
/// 5 MB): a new word takes the place of an old one. For one thread at a time.
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
    bool holds(const ShortWord& word) const { return ((front ^ word.front) | ((back ^ word.back) << 4)) == 0; }
  };

  WordCache();

  /// Asks for the memory that find() and insert() will look at.
  void prefetch(const ShortWord& word) const { __builtin_prefetch(&short_sets_[short_set(word)]); }
  /// The entry of a short word, or null. One without tokens says that the word has more than kShortIds.
  const ShortEntry* find(const ShortWord& word) const {
    const ShortSet& set = short_sets_[short_set(word)];
    // Which of the two it is cannot be foreseen, so no branch depends on it.
    const bool in_first = set.entries[0].holds(word), in_second = set.entries[1].holds(word);
    return in_first | in_second ? &set.entries[in_second] : nullptr;
  }
  void insert(const ShortWord& word, const int32_t* ids, size_t count);

  /// Appends the tokens of `word` (any length), or returns false if it is not here.
  bool find(std::string_view word, std::vector<int32_t>& out) const;
  void insert(std::string_view word, const int32_t* ids, size_t count);

  MergeTable::Scratch& scratch() { return scratch_; }

 private:
  static constexpr int kShortSetBits = 16, kLongBits = 13;

  struct alignas(64) ShortSet {
    ShortEntry entries[2];  // the newer one first
  };
  struct alignas(128) LongEntry {
    uint32_t length, count;  // length == 0: empty
    char bytes[kMaxBytes];
    int32_t ids[kMaxIds];
  };

  static size_t short_set(const ShortWord& word) {
    return (word.front * 0x9E3779B97F4A7C15u + word.back * 0xC2B2AE3D27D4EB4Fu) >> (64 - kShortSetBits);
  }
  LongEntry& long_entry(std::string_view word) const;

  std::unique_ptr<ShortSet[]> short_sets_;
  std::unique_ptr<LongEntry[]> long_entries_;
  MergeTable::Scratch scratch_;
};

/// Tokens collect here on their way to `out`, so that storing them needs no look at the vector's capacity.
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<int32_t>& out) : out_(out) {}

  /// A short word's tokens. All of the entry's places are copied, as that is cheaper than to ask how many are meant.
  void append(const WordCache::ShortEntry& entry) {
    if (size_ + WordCache::kShortIds > kCapacity) flush();
    std::memcpy(ids_ + size_, entry.ids, sizeof entry.ids);
    size_ += entry.count();
  }
  void flush() {
    out_.insert(out_.end(), ids_, ids_ + size_);
    size_ = 0;
  }
  /// `out`, with all that was appended.
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

}  // namespace vitrine
