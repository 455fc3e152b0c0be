// SPDX-License-Identifier: MIT
#include "tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/large_pages.h"
#include "tokenizer/pretokenizer.h"

namespace vitrine::internal {
namespace {

// From here on, a word's neighbourhood can be read without looking for the text's end.
constexpr size_t kReadAhead = kWordWindow + ShortWord::kMaxBytes + 1;

}  // namespace

BpeTokenizer::BpeTokenizer(BpeSpec spec)
    : tokens_(std::move(spec.tokens)),
      merges_(spec.byte_ids, spec.merges),
      added_(std::move(spec.added)),
      add_prefix_space_(spec.add_prefix_space),
      split_words_(spec.split_words),
      ends_(std::move(spec.ends)) {
  settle_ends(added_.tokens(), ends_);
  if (!spec.ignore_merges) return;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (spec.mergeable[id]) whole_words_.emplace(tokens_[id], static_cast<int32_t>(id));
  }
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, Special special) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);  // most text has fewer; the rest of the memory is never touched
  prefer_large_pages(ids.data(), ids.capacity() * sizeof(int32_t));
  const WordCachePool::Lease cache(caches_);
  for (const AddedTokens::Segment& segment : added_.split(text, special)) {
    if (segment.id == AddedTokens::Segment::kText) {
      encode_text(text.substr(segment.begin, segment.end - segment.begin), *cache, ids);
    } else {
      ids.push_back(segment.id);
    }
  }
  return ids;
}

std::vector<Tokenizer::Piece> BpeTokenizer::encode_with_spans(std::string_view text,
                                                              Special special) const {
  std::vector<Piece> pieces;
  pieces.reserve(text.size() / 3 + 8);
  std::vector<int32_t> ids;
  const WordCachePool::Lease cache(caches_);
  for (const AddedTokens::Segment& segment : added_.split(text, special)) {
    if (segment.id != AddedTokens::Segment::kText) {
      pieces.push_back({segment.id, segment.begin, segment.end});
      continue;
    }
    const std::string_view part = text.substr(segment.begin, segment.end - segment.begin);
    ids.clear();
    encode_text(part, *cache, ids);
    // The tokens of a text are its bytes, in order; a space that was put before it is in none of
    // its spans.
    size_t absent = wants_prefix_space(part) ? 1 : 0;
    size_t at = segment.begin;
    for (const int32_t id : ids) {
      const size_t end = at + tokens_[static_cast<size_t>(id)].size() - std::exchange(absent, 0);
      pieces.push_back({id, at, end});
      at = end;
    }
  }
  return pieces;
}

void BpeTokenizer::encode_text(std::string_view text, WordCache& cache,
                               std::vector<int32_t>& out) const {
  if (!wants_prefix_space(text)) return encode_words(text, cache, out);
  std::string prefixed;
  prefixed.reserve(text.size() + 1);
  prefixed += ' ';
  prefixed += text;
  encode_words(prefixed, cache, out);
}

void BpeTokenizer::encode_words(std::string_view text, WordCache& cache,
                                std::vector<int32_t>& out) const {
  if (!split_words_) return encode_word(text, cache, out);
  IdBuffer buffer(out);
  // The word cache exceeds the CPU's caches, so each window's entries are prefetched one window
  // before they are read.
  WordWindow windows[2];
  WordWindow *asked = &windows[0], *next = &windows[1];
  size_t begin = 0;
  while (text.size() - begin >= kReadAhead) {
    const char* at = text.data() + begin;
    const uint64_t ends = word_starts(at) & ~1ull;
    begin += next->ask_for(at, ends, cache);
    encode_window(*asked, cache, buffer);
    std::swap(asked, next);
    if (ends != 0) continue;
    // A long word, or one that is not ASCII.
    const size_t end = word_end(text, begin);
    encode_window_word(text.substr(begin, end - begin), cache, buffer);
    begin = end;
  }
  encode_window(*asked, cache, buffer);
  // What is left is copied to where a word's neighbourhood can be read.
  char last[kReadAhead + ShortWord::kMaxBytes + 1] = {};
  const std::string_view rest(last, text.copy(last, kReadAhead, begin));
  for (size_t at = 0; at < rest.size();) {
    const size_t end = word_end(rest, at);
    encode_window_word(rest.substr(at, end - at), cache, buffer);
    at = end;
  }
  buffer.flush();
}

void BpeTokenizer::encode_window(const WordWindow& window, WordCache& cache,
                                 IdBuffer& buffer) const {
  int32_t* to = buffer.room(kWordWindow * WordCache::kShortIds);
  for (const WordWindow::Word& word : window.words()) {
    const WordCache::ShortEntry* entry = word.set->find(word.key);
    if (entry != nullptr && entry->count() > 0 && word.length <= ShortWord::kMaxBytes) [[likely]] {
      std::memcpy(
          to, entry->ids,
          sizeof entry->ids);  // all of its places: that is cheaper than to ask how many are meant
      to += entry->count();
      continue;
    }
    buffer.filled(to);
    encode_window_word({word.bytes, word.length}, cache, buffer);
    to = buffer.room(kWordWindow * WordCache::kShortIds);
  }
  buffer.filled(to);
}

// 16 bytes from the word's first can be read, whatever its length.
void BpeTokenizer::encode_window_word(std::string_view word, WordCache& cache,
                                      IdBuffer& buffer) const {
  std::vector<int32_t>& out = buffer.flushed();
  if (word.size() > ShortWord::kMaxBytes) return encode_word(word, cache, out);
  const ShortWord key = ShortWord::read(word.data(), word.size());
  const WordCache::ShortEntry* entry = cache.find(key);
  if (entry != nullptr && entry->count() > 0) {
    out.insert(out.end(), entry->ids, entry->ids + entry->count());
    return;
  }
  const size_t before = out.size();
  encode_word(word, cache, out);
  if (entry == nullptr) cache.insert(key, out.data() + before, out.size() - before);
}

void BpeTokenizer::encode_word(std::string_view word, WordCache& cache,
                               std::vector<int32_t>& out) const {
  if (!whole_words_.empty()) {
    if (const auto found = whole_words_.find(word); found != whole_words_.end())
      return out.push_back(found->second);
  }
  if (cache.find(word, out)) return;
  const size_t before = out.size();
  merges_.merge(word, cache.scratch(), out);
  const size_t count = out.size() - before;
  // The others are kept as short words.
  if (word.size() > ShortWord::kMaxBytes || count > WordCache::kShortIds)
    cache.insert(word, out.data() + before, count);
}

std::string BpeTokenizer::token_bytes(int32_t id) const {
  check_id(id);
  return tokens_[static_cast<size_t>(id)];
}

class BpeTokenizer::TextRun : public Decoding {
 public:
  explicit TextRun(const BpeTokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void push(int32_t id, std::string& out) override {
    tokenizer_.check_id(id);
    out += tokenizer_.tokens_[static_cast<size_t>(id)];
  }

 private:
  const BpeTokenizer& tokenizer_;
};

std::unique_ptr<Tokenizer::Decoding> BpeTokenizer::start_decoding() const {
  return std::make_unique<TextRun>(*this);
}

std::optional<int32_t> BpeTokenizer::find_special(std::string_view name) const {
  const auto& all = added_.tokens();
  const auto found = std::find_if(
      all.begin(), all.end(), [&](const AddedToken& t) { return t.special && t.content == name; });
  return found == all.end() ? std::nullopt : std::optional(found->id);
}

std::string BpeTokenizer::description() const {
  return fmt::format("byte-level BPE, {} tokens", tokens_.size());
}

}  // namespace vitrine::internal
