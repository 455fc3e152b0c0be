// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The one reader of text from outside: prompts, corpora, tables, lists, JSON, merges. Text is
// UTF-8; lines end in LF or CRLF.

namespace vitrine::internal {

/// The byte order mark of UTF-8, which every reader drops at the start of a file.
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// What a file is by its first bytes, where that is a known format other than UTF-8 text: "is
/// compressed with gzip", and how to make text of it: "decompress it first: gunzip -k FILE".
struct OtherFormat {
  std::string what, fix;
};
/// gzip, xz, zstd, bzip2, zip, UTF-16, UTF-32, Git LFS pointers, .npy, Parquet, Arrow, HDF5, GGUF,
/// PDF. `bytes`: the start of the file, 64 bytes of it, or all if it is shorter.
std::optional<OtherFormat> other_format(std::string_view bytes, const std::string& file);

/// For a reader of a binary format that found something else: throws Error (user) if other_format()
/// knows the bytes, or if they are printable text; `wanted` is what was expected. Else returns.
void refuse_other_format(std::string_view bytes, const std::string& file, std::string_view wanted);

/// The index of the first byte that is not part of valid UTF-8, or is NUL; the size if there is
/// none.
size_t first_bad_byte(std::string_view text);

/// `bytes`, the whole of a file, without a byte order mark. Throws Error (user) for another format,
/// NUL, bytes that are not UTF-8 (with line and offset), and a file without text.
std::string_view check_text(std::string_view bytes, const std::string& file);

/// The checked text of a file; "-" is standard input. Throws Error (user) as check_text() does, and
/// for a file that cannot be read.
std::string read_text(const std::string& path);

/// The lines without their LF or CRLF; empty lines at the end are left out. Throws Error (user) for
/// lines that end in CR alone.
std::vector<std::string> text_lines(std::string_view text, const std::string& file);

}  // namespace vitrine::internal
