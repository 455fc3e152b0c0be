#include "tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "tokenizer/pretokenizer.h"

namespace vitrine {
namespace {

// From here on, a word's neighbourhood can be read without looking for the text's end.
constexpr size_t kReadAhead = kWordWindow + ShortWord::kMaxBytes + 1;

}  // namespace

BpeTokenizer::BpeTokenizer(BpeSpec spec)
    : tokens_(std::move(spec.tokens)),
      merges_(spec.byte_ids, spec.merges),
      added_(std::move(spec.added)),
      add_prefix_space_(spec.add_prefix_space),
      split_words_(spec.split_words) {
  if (!spec.ignore_merges) return;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (spec.mergeable[id]) whole_words_.emplace(tokens_[id], static_cast<int32_t>(id));
  }
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, Special special) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);  // most text has fewer; the rest of the memory is never touched
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

std::vector<Tokenizer::Piece> BpeTokenizer::encode_with_spans(std::string_view text, Special special) const {
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
    // The tokens of a text are its bytes, in order; a space that was put before it is in none of its spans.
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

void BpeTokenizer::encode_text(std::string_view text, WordCache& cache, std::vector<int32_t>& out) const {
  if (!wants_prefix_space(text)) return encode_words(text, cache, out);
  std::string prefixed;
  prefixed.reserve(text.size() + 1);
  prefixed += ' ';
  prefixed += text;
  encode_words(prefixed, cache, out);
}

void BpeTokenizer::encode_words(std::string_view text, WordCache& cache, std::vector<int32_t>& out) const {
  if (!split_words_) return encode_word(text, cache, out);
  IdBuffer buffer(out);
  size_t begin = 0;
  while (text.size() - begin >= kReadAhead) {
    const char* window = text.data() + begin;
    const uint64_t ends = word_starts(window) & ~1ull;
    if (ends != 0) {
      begin += encode_window(window, ends, cache, buffer);
    } else {  // a long word, or one that is not ASCII
      const size_t end = word_end(text, begin);
      encode_window_word(window, end - begin, cache, buffer);
      begin = end;
    }
  }
  // What is left is copied to where a word's neighbourhood can be read.
  char last[kReadAhead + ShortWord::kMaxBytes + 1] = {};
  const std::string_view rest(last, text.copy(last, kReadAhead, begin));
  for (size_t at = 0; at < rest.size();) {
    const size_t end = word_end(rest, at);
    encode_window_word(last + at, end - at, cache, buffer);
    at = end;
  }
  buffer.flush();
}

// The words that end at the bits of `ends`. The cache is larger than the processor's: all its lines are asked for before the
// first is waited for. Returns where the last word ends.
size_t BpeTokenizer::encode_window(const char* window, uint64_t ends, WordCache& cache, IdBuffer& buffer) const {
  struct Word {
    ShortWord key;
    const char* bytes;
    size_t length;
  };
  Word words[kWordWindow];
  size_t count = 0, at = 0;
  for (; ends != 0; ends &= ends - 1) {
    const auto end = static_cast<size_t>(std::countr_zero(ends));
    Word& word = words[count++];
    word.bytes = window + at;
    word.length = end - at;
    word.key = ShortWord::read(word.bytes, std::min(word.length, ShortWord::kMaxBytes));
    cache.prefetch(word.key);
    at = end;
  }
  for (const Word* word = words; word < words + count; ++word) {
    if (word->length > ShortWord::kMaxBytes) {
      encode_window_word(word->bytes, word->length, cache, buffer);
    } else {
      encode_short_word({word->bytes, word->length}, word->key, cache, buffer);
    }
  }
  return at;
}

// 16 bytes from `word` can be read, whatever its length.
void BpeTokenizer::encode_window_word(const char* word, size_t length, WordCache& cache, IdBuffer& buffer) const {
  if (length <= ShortWord::kMaxBytes) return encode_short_word({word, length}, ShortWord::read(word, length), cache, buffer);
  encode_word({word, length}, cache, buffer.flushed());
}

void BpeTokenizer::encode_short_word(std::string_view word, const ShortWord& key, WordCache& cache, IdBuffer& buffer) const {
  const WordCache::ShortEntry* entry = cache.find(key);
  if (entry != nullptr && entry->count() > 0) return buffer.append(*entry);
  std::vector<int32_t>& out = buffer.flushed();
  const size_t before = out.size();
  encode_word(word, cache, out);
  if (entry == nullptr) cache.insert(key, out.data() + before, out.size() - before);
}

void BpeTokenizer::encode_word(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const {
  if (!whole_words_.empty()) {
    if (const auto found = whole_words_.find(word); found != whole_words_.end()) return out.push_back(found->second);
  }
  if (cache.find(word, out)) return;
  const size_t before = out.size();
  merges_.merge(word, cache.scratch(), out);
  const size_t count = out.size() - before;
  // The others are kept as short words.
  if (word.size() > ShortWord::kMaxBytes || count > WordCache::kShortIds) cache.insert(word, out.data() + before, count);
}

std::string BpeTokenizer::token_bytes(int32_t id) const {
  check_id(id);
  return tokens_[static_cast<size_t>(id)];
}

void BpeTokenizer::append_text(int32_t id, bool&, std::string& out) const {
  check_id(id);
  out += tokens_[static_cast<size_t>(id)];
}

std::optional<int32_t> BpeTokenizer::find_special(std::string_view name) const {
  const auto& all = added_.tokens();
  const auto found = std::find_if(all.begin(), all.end(), [&](const AddedToken& t) { return t.special && t.content == name; });
  return found == all.end() ? std::nullopt : std::optional(found->id);
}

std::optional<int32_t> BpeTokenizer::end_of_text() const {
  for (const char* name : {"<|endoftext|>", "</s>"}) {
    if (const auto id = find_special(name)) return id;
  }
  return std::nullopt;
}

std::string BpeTokenizer::description() const { return fmt::format("byte-level BPE, {} tokens", tokens_.size()); }

}  // namespace vitrine
