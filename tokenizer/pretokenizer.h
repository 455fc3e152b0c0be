#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace vitrine {

/// GPT-2's pre-tokenisation, which cuts text into the words that byte-pair merges stay inside:
///
///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///
/// The words cover the text. A byte that is not part of valid UTF-8 is a character of its own, of the third kind
/// (neither white space, letter nor number).
///
/// Returns the end of the word that starts at `begin` < text.size().
size_t word_end(std::string_view text, size_t begin);

/// The length of the run of ASCII letters at the front of 16 bytes, 0 to 16.
inline uint32_t ascii_letters16(const char* bytes) {
  // A byte's top bit says "letter": ASCII, and with its case bit set within 'a'..'z'.
  const auto letters = [](uint64_t v) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    const uint64_t low = (v | 0x20 * kOnes) & 0x7F * kOnes;
    return (low + (0x80 - 'a') * kOnes) & ~(low + (0x80 - 'z' - 1) * kOnes) & ~v & 0x80 * kOnes;
  };
  static_assert(std::endian::native == std::endian::little, "the first byte must be the lowest");
  uint64_t front, back;
  std::memcpy(&front, bytes, 8);
  std::memcpy(&back, bytes + 8, 8);
  const uint64_t not_front = ~letters(front) & 0x8080808080808080;
  const uint64_t not_back = ~letters(back) & 0x8080808080808080;
  return static_cast<uint32_t>(not_front != 0 ? std::countr_zero(not_front) >> 3 : 8 + (std::countr_zero(not_back) >> 3));
}

/// word_end for the commonest words, a short run of ASCII letters with or without a space before it; 0 for any other.
/// 17 bytes from `begin` must be readable.
inline size_t short_ascii_word_end(std::string_view text, size_t begin) {
  const char* start = text.data() + begin;
  const uint32_t space = *start == ' ' ? 1 : 0;
  const uint32_t letters = ascii_letters16(start + space);
  // A letter beyond ASCII, or one beyond the window, would go on with the word.
  if (letters == 0 || letters == 16 || (start[space + letters] & 0x80) != 0) return 0;
  return begin + space + letters;
}

}  // namespace vitrine
