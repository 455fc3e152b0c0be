// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vitrine::internal {

/// One step through bytes that need not be UTF-8.
struct Utf8Step {
  char32_t code_point = 0;  ///< the byte itself where `valid` is false
  uint32_t length = 1;      ///< 1 where `valid` is false
  bool valid = false;
};

/// The lowest and highest second byte that may follow `lead` (Unicode table 3-7: no overlong forms,
/// no surrogates, nothing above U+10FFFF), and the length of the sequence; length 0 if nothing may
/// start with `lead`.
struct Utf8Lead {
  uint32_t length;
  unsigned char low, high;
};

constexpr Utf8Lead utf8_lead(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead < 0xF0)
    return {3, static_cast<unsigned char>(lead == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(lead == 0xED ? 0x9F : 0xBF)};
  if (lead < 0xF5)
    return {4, static_cast<unsigned char>(lead == 0xF0 ? 0x90 : 0x80),
            static_cast<unsigned char>(lead == 0xF4 ? 0x8F : 0xBF)};
  return {0, 0, 0};
}

/// How many of the bytes at the front of `bytes` (not empty) agree with the sequence that the first
/// one starts; 0 if it starts none. Equal to the sequence's length if the sequence is whole.
constexpr uint32_t utf8_prefix(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const Utf8Lead lead = utf8_lead(byte(0));
  if (lead.length < 2 || bytes.size() < 2) return lead.length == 0 ? 0 : 1;
  if (byte(1) < lead.low || byte(1) > lead.high) return 1;
  uint32_t count = 2;
  while (count < lead.length && count < bytes.size() && (byte(count) & 0xC0) == 0x80) ++count;
  return count;
}

/// The character at the front of `bytes`, which is not empty.
constexpr Utf8Step utf8_step(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  if (byte(0) < 0x80) return {byte(0), 1, true};
  const uint32_t length = utf8_lead(byte(0)).length;
  if (length == 0 || utf8_prefix(bytes) != length) return {byte(0), 1, false};
  char32_t code_point = byte(0) & (0x7Fu >> length);
  for (uint32_t i = 1; i < length; ++i) code_point = code_point << 6 | (byte(i) & 0x3F);
  return {code_point, length, true};
}

/// How many bytes at the end of `bytes` begin a sequence that more bytes could complete: 0 to 3.
constexpr size_t utf8_unfinished_tail(std::string_view bytes) {
  for (size_t count = 1; count <= 3 && count <= bytes.size(); ++count) {
    const std::string_view tail = bytes.substr(bytes.size() - count);
    const uint32_t length = utf8_lead(static_cast<unsigned char>(tail[0])).length;
    if (length > count && utf8_prefix(tail) == count) return count;
  }
  return 0;
}

}  // namespace vitrine::internal
