// SPDX-License-Identifier: MIT
#include "tokenizer/pretokenizer.h"

#include <array>
#include <bit>

#include "base/utf8.h"
#include "tokenizer/unicode_class.h"
#include "tokenizer/window_masks.h"

namespace vitrine::internal {
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
  const bool found =
      ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
  return found ? begin + 3 : begin;
}

// \s+(?!\S)|\s+ : white space leaves its last character to the word that follows it, unless it has
// only that one.
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

uint64_t word_starts(const char* window) {
  const WindowMasks m = window_masks(window);
  const uint64_t other = ~(m.letter | m.number | m.white);
  // A letter, number or other starts a word after one of another kind, unless that is a space,
  // which it then goes with.
  const uint64_t same =
      (m.letter & m.letter << 1) | (m.number & m.number << 1) | (other & other << 1);
  const uint64_t first_of_run = ~m.white & ~same & ~(m.space << 1);
  // White space starts a word where its run does, and again with the run's last character, which is
  // for the word after it.
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

}  // namespace vitrine::internal
