#include "tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tokenizer/pretokenizer.h"

namespace vitrine {
namespace {

// The fast path reads 17 bytes from a word's start, whatever its length.
constexpr size_t kReadAhead = 17;

// Tokens collect here, so that storing one needs no look at the vector's capacity.
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<int32_t>& out) : out_(out) {}

  // A short word's tokens. All of the entry's places are copied, as that is cheaper than to ask how many are meant.
  void append(const WordCache::ShortEntry& entry) {
    if (size_ + WordCache::kShortIds > kCapacity) flush();
    std::copy(entry.ids, entry.ids + WordCache::kShortIds, ids_ + size_);
    size_ += entry.count;
  }
  void flush() {
    out_.insert(out_.end(), ids_, ids_ + size_);
    size_ = 0;
  }

 private:
  static constexpr size_t kCapacity = 2048;
  std::vector<int32_t>& out_;
  size_t size_ = 0;
  int32_t ids_[kCapacity];
};

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
  while (begin + kReadAhead <= text.size()) {
    size_t end = short_ascii_word_end(text, begin);
    if (end == 0) end = word_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (word.size() > ShortWord::kMaxBytes) {
      buffer.flush();
      encode_word(word, cache, out);
      continue;
    }
    const ShortWord key = ShortWord::read(word.data(), word.size());
    if (const WordCache::ShortEntry* entry = cache.find(key)) {
      buffer.append(*entry);
      continue;
    }
    buffer.flush();
    const size_t before = out.size();
    encode_word(word, cache, out);
    if (out.size() - before <= WordCache::kShortIds) cache.insert(key, out.data() + before, out.size() - before);
  }
  buffer.flush();
  while (begin < text.size()) {
    const size_t end = word_end(text, begin);
    encode_word(text.substr(begin, end - begin), cache, out);
    begin = end;
  }
}

void BpeTokenizer::encode_word(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const {
  if (!whole_words_.empty()) {
    if (const auto found = whole_words_.find(word); found != whole_words_.end()) return out.push_back(found->second);
  }
  if (cache.find(word, out)) return;
  const size_t before = out.size();
  merges_.merge(word, cache.scratch(), out);
  cache.insert(word, out.data() + before, out.size() - before);
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
