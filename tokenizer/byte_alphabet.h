// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine::internal {

/// GPT-2's spelling of the 256 bytes: vocabularies write each byte of a token as one printable
/// character, so that the files are text. Printable Latin-1 bytes stand for themselves; the other
/// 68 are U+0100 onwards in order (a space is U+0120).

/// Decodes a spelling to bytes; nullopt if a character of `spelled` encodes no byte or is not
/// UTF-8.
std::optional<std::string> bytes_of_spelling(std::string_view spelled);
/// UTF-8 character that encodes `byte`.
std::string spelling_of_byte(unsigned char byte);

}  // namespace vitrine::internal
