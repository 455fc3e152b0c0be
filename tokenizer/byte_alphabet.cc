// SPDX-License-Identifier: MIT
#include "tokenizer/byte_alphabet.h"

#include <cstdint>

#include "base/utf8.h"

namespace vitrine::internal {
namespace {

constexpr int kAlphabetEnd = 0x100 + 68;

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

// Byte that each code point below kAlphabetEnd encodes, or -1.
constexpr std::array<int16_t, kAlphabetEnd> kByteOf = [] {
  std::array<int16_t, kAlphabetEnd> table{};
  table.fill(-1);
  size_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    table[stands_for_itself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  return table;
}();

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view spelled) {
  std::string bytes;
  bytes.reserve(spelled.size());
  while (!spelled.empty()) {
    const Utf8Step step = utf8_step(spelled);
    if (!step.valid || step.code_point >= kAlphabetEnd || kByteOf[step.code_point] < 0)
      return std::nullopt;
    bytes += static_cast<char>(kByteOf[step.code_point]);
    spelled.remove_prefix(step.length);
  }
  return bytes;
}

std::string spelling_of_byte(unsigned char byte) {
  for (uint32_t c = 0; c < kAlphabetEnd; ++c) {
    if (kByteOf[c] != byte) continue;
    if (c < 0x80) return std::string(1, static_cast<char>(c));
    return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  }
  return {};
}

}  // namespace vitrine::internal
