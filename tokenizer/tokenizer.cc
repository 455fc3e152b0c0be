// SPDX-License-Identifier: MIT
#include "vitrine/tokenizer.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "tokenizer/unicode_class.h"

namespace vitrine {
using namespace internal;
namespace {

// Characters that a terminal obeys, or that cannot be seen.
bool needs_escape(char32_t c) {
  const auto in = [c](char32_t low, char32_t high) { return c >= low && c <= high; };
  return c < 0x20 || in(0x7F, 0x9F) || c == 0xAD || in(0x200B, 0x200F) || in(0x2028, 0x202E) ||
         in(0x2060, 0x206F) || c == 0xFEFF || (c != ' ' && char_class(c) == CharClass::kSpace);
}

std::string escape(char32_t c) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{{{:x}}}", static_cast<uint32_t>(c));
  }
}

std::string shown(std::string_view text) {
  constexpr size_t kShown = 60;
  return text.size() <= kShown ? fmt::format("\"{}\"", printable(text))
                               : fmt::format("\"{}\"...", printable(text.substr(0, kShown)));
}

}  // namespace

std::unique_ptr<Tokenizer::Decoding> Tokenizer::start_decoding() const {
  class Bytes : public Decoding {
   public:
    explicit Bytes(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
    void push(int32_t id, std::string& out) override { out += tokenizer_.token_bytes(id); }

   private:
    const Tokenizer& tokenizer_;
  };
  return std::make_unique<Bytes>(*this);
}

void Tokenizer::check_id(int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    user_error("token id {} is out of range of the vocabulary ({}): expected 0..{}", id,
               description(), vocab_size() - 1);
  }
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  text.reserve(4 * ids.size());
  const auto decoding = start_decoding();
  for (const int32_t id : ids) decoding->push(id, text);
  decoding->finish(text);
  return text;
}

int32_t Tokenizer::single_token(std::string_view text) const {
  if (const auto special = find_special(text)) return *special;
  const auto ids = encode(text);
  if (ids.size() == 1) return ids[0];
  if (ids.empty())
    user_error("{} has no tokens ({}): expected a text that is one token", shown(text),
               description());
  constexpr size_t kShown = 12;
  std::string pieces;
  for (size_t i = 0; i < std::min(ids.size(), kShown); ++i)
    pieces += fmt::format(" {}", shown(token_bytes(ids[i])));
  if (ids.size() > kShown) pieces += " ...";
  std::string fix = "use one of these tokens, or a text that is one token";
  if (text[0] != ' ') {
    const std::string spaced = ' ' + std::string(text);
    if (encode(spaced).size() == 1)
      fix = fmt::format("with a leading space it is one: {}", shown(spaced));
  } else if (const auto bare = text.substr(1); encode(bare).size() == 1) {
    fix = fmt::format("without the leading space it is one: {}", shown(bare));
  }
  user_error("{} is {} tokens ({}) instead of one:{}; {}", shown(text), ids.size(), description(),
             pieces, fix);
}

const Tokenizer::Frame& Tokenizer::frame() const {
  static const Frame kNone;
  return kNone;
}

Tokenizer::Frame frame_from(std::string_view bos, const Tokenizer* tokenizer) {
  if (bos == "auto") return tokenizer ? tokenizer->frame() : Tokenizer::Frame{};
  if (bos == "none") return {};
  int32_t id = -1;
  const auto [end, error] = std::from_chars(bos.data(), bos.data() + bos.size(), id);
  if (error != std::errc() || end != bos.data() + bos.size() || id < 0)
    user_error("invalid `bos` {}: expected auto, none or a token id", quote(bos));
  return {{id}, {}};
}

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), decoding_(tokenizer_->start_decoding()) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(int32_t id) {
  decoding_->push(id, held_);
  const size_t tail = utf8_unfinished_tail(held_);
  std::string whole = held_.substr(0, held_.size() - tail);
  held_.erase(0, held_.size() - tail);
  return whole;
}

std::string StreamDecoder::flush() {
  decoding_->finish(held_);
  decoding_ = tokenizer_->start_decoding();
  return std::exchange(held_, {});
}

std::string printable(std::string_view bytes) {
  const size_t first = bytes.find_first_not_of(' ');
  const size_t last = bytes.find_last_not_of(' ');
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes.substr(at));
    if (!step.valid) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(step.code_point));
    } else if (step.code_point == ' ') {
      out += first == std::string_view::npos || at < first || at > last ? "\u2423" : " ";
    } else if (step.code_point == '\\') {
      out += "\\\\";
    } else {
      out += needs_escape(step.code_point) ? escape(step.code_point)
                                           : std::string(bytes.substr(at, step.length));
    }
    at += step.length;
  }
  return out;
}

}  // namespace vitrine
