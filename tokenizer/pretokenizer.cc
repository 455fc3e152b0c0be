#include "tokenizer/pretokenizer.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/utf8.h"
#include "tokenizer/unicode_class.h"

namespace vitrine {
namespace {

struct Char {
  CharClass kind;
  uint32_t length;
};

constexpr std::array<CharClass, 128> kAsciiClass = [] {
  std::array<CharClass, 128> table{};
  for (char32_t c = 0; c < 128; ++c) table[c] = char_class(c);
  return table;
}();

Char char_at(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {kAsciiClass[byte], 1};
  const Utf8Step step = utf8_step(text.substr(at, 4));
  return {step.valid ? char_class(step.code_point) : CharClass::kOther, step.length};
}

// The end of the contraction 's, 't, 're, 've, 'm, 'll or 'd at `begin`; `begin` if there is none.
size_t contraction_end(std::string_view text, size_t begin) {
  const std::string_view rest = text.substr(begin, 3);
  if (rest.size() < 2 || rest[0] != '\'') return begin;
  const char first = rest[1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
  if (rest.size() < 3) return begin;
  const char second = rest[2];
  const bool found = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
  return found ? begin + 3 : begin;
}

// \s+(?!\S)|\s+ : white space leaves its last character to the word that follows it, unless it has only that one.
size_t white_space_end(std::string_view text, size_t begin) {
  size_t end = begin, last = begin;
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (c.kind != CharClass::kSpace) return last > begin ? last : end;
    last = end;
    end += c.length;
  }
  return end;
}

}  // namespace

namespace {

// One bit for each byte of a window.
struct WindowMasks {
  uint64_t letter = 0, number = 0, white = 0, space = 0, apostrophe = 0, beyond_ascii = 0;
};

// The top bit of each byte of `v` says whether it is ASCII and from first to last. Plain integers do eight bytes at a time on
// any machine; the rest of encoding costs several times this.
constexpr uint64_t kEachByte = 0x0101010101010101;

uint64_t in_range(uint64_t v, unsigned char first, unsigned char last) {
  const uint64_t low = v & 0x7F * kEachByte;
  return (low + (0x80u - first) * kEachByte) & ~(low + (0x7Fu - last) * kEachByte) & ~v & 0x80 * kEachByte;
}

// The eight top bits, side by side.
uint64_t gather(uint64_t top_bits) { return (top_bits >> 7) * 0x0102040810204080 >> 56; }

WindowMasks classify(const char* window) {
  static_assert(std::endian::native == std::endian::little, "the first byte must be the lowest");
  WindowMasks masks;
  for (size_t at = 0; at < kWordWindow; at += 8) {
    uint64_t v;
    std::memcpy(&v, window + at, 8);
    const uint64_t space = in_range(v, ' ', ' ');
    masks.letter |= gather(in_range(v | 0x20 * kEachByte, 'a', 'z')) << at;
    masks.number |= gather(in_range(v, '0', '9')) << at;
    masks.white |= gather(space | in_range(v, '\t', '\r')) << at;
    masks.space |= gather(space) << at;
    masks.apostrophe |= gather(in_range(v, '\'', '\'')) << at;
    masks.beyond_ascii |= gather(v & 0x80 * kEachByte) << at;
  }
  return masks;
}

}  // namespace

uint64_t word_starts(const char* window) {
  const WindowMasks m = classify(window);
  const uint64_t other = ~(m.letter | m.number | m.white);
  // A letter, number or other starts a word after one of another kind, unless that is a space, which it then goes with.
  const uint64_t same = (m.letter & m.letter << 1) | (m.number & m.number << 1) | (other & other << 1);
  const uint64_t first_of_run = ~m.white & ~same & ~(m.space << 1);
  // White space starts a word where its run does, and again with the run's last character, which is for the word after it.
  const uint64_t white_starts = m.white & (~(m.white << 1) | ~(m.white >> 1));
  uint64_t starts = first_of_run | white_starts | 1;
  // The next byte is looked at for white space, the next two for contractions.
  constexpr uint64_t kKnown = (1ull << (kWordWindow - 2)) - 1;
  for (uint64_t at = starts & m.apostrophe & kKnown >> 1; at != 0; at &= at - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(at));
    const size_t length = contraction_end({window + i, 3}, 0);
    if (length == 0) continue;
    starts &= ~(1ull << (i + 1));
    starts |= 1ull << (i + length);
  }
  const int ascii = std::countr_zero(m.beyond_ascii);
  if (ascii == 64) return starts & kKnown;
  return ascii < 2 ? 1 : starts & kKnown & ((1ull << (ascii - 1)) - 1);
}

size_t word_end(std::string_view text, size_t begin) {
  if (const size_t end = contraction_end(text, begin); end > begin) return end;
  size_t at = begin + (text[begin] == ' ' ? 1 : 0);
  if (at == text.size()) return at;
  const Char first = char_at(text, at);
  if (first.kind == CharClass::kSpace) return white_space_end(text, begin);
  for (at += first.length; at < text.size();) {
    const Char next = char_at(text, at);
    if (next.kind != first.kind) break;
    at += next.length;
  }
  return at;
}

}  // namespace vitrine
