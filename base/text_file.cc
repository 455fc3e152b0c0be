// SPDX-License-Identifier: MIT
#include "base/text_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/check.h"
#include "base/dangling_link.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "base/utf8.h"

namespace vitrine::internal {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view bytes, what, fix;  // {} in the fix is the file
};

// UTF-32 before UTF-16, whose mark begins the same.
constexpr std::array kMagics = {
    Magic{"\x1f\x8b"sv, "is compressed with gzip", "decompress it first: gunzip -k {}"},
    Magic{"\xFD"
          "7zXZ\0"sv,
          "is compressed with xz", "decompress it first: xz -dk {}"},
    Magic{"\x28\xB5\x2F\xFD"sv, "is compressed with zstd", "decompress it first: unzstd {}"},
    Magic{"PK\x03\x04"sv, "is a zip archive", "unpack it first: unzip {}; export .xlsx as .csv"},
    Magic{"\xFF\xFE\0\0"sv, "is UTF-32", "convert it: iconv -f UTF-32 -t UTF-8 {} > NEW"},
    Magic{"\0\0\xFE\xFF"sv, "is UTF-32", "convert it: iconv -f UTF-32 -t UTF-8 {} > NEW"},
    Magic{"\xFF\xFE"sv, "is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 {} > NEW"},
    Magic{"\xFE\xFF"sv, "is UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 {} > NEW"},
    Magic{"\x93NUMPY"sv, "is a .npy array", "name it FILE.npy where arrays are read"},
    Magic{"ARROW1\0\0"sv, "is an Arrow file", "export it as text"},
    Magic{"PAR1\x15"sv, "is a Parquet file", "export it as .jsonl or .csv"},
    Magic{"\x89HDF\r\n\x1a\n"sv, "is an HDF5 file",
          "export what it holds; of a model, use its safetensors"},
    Magic{"%PDF-1."sv, "is a PDF document", "extract its text: pdftotext {}"},
};

constexpr std::string_view kLfs = "version https://git-lfs.github.com/spec/";

std::string with_file(std::string_view fix, const std::string& file) {
  const size_t at = fix.find("{}");
  return at == std::string_view::npos
             ? std::string(fix)
             : std::string(fix.substr(0, at)) + file + std::string(fix.substr(at + 2));
}

bool is_bzip2(std::string_view bytes) {
  return bytes.size() >= 10 && bytes.starts_with("BZh") && bytes[3] >= '1' && bytes[3] <= '9' &&
         (bytes.substr(4, 6) == "1AY&SY" || bytes.substr(4, 6) == "\x17\x72\x45\x38\x50\x90");
}

bool is_gguf(std::string_view bytes) {  // the version follows, a small number of 32 bits
  return bytes.size() >= 8 && bytes.starts_with("GGUF") && bytes.substr(5, 3) == "\0\0\0"sv;
}

bool is_lfs_pointer(std::string_view bytes) {
  return bytes.starts_with(kLfs) && bytes.substr(0, 100).find("\noid ") != std::string_view::npos;
}

std::string name_of(const std::string& path) { return path == "-" ? "standard input" : path; }

bool is_printable(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d);
  });
}

}  // namespace

std::optional<OtherFormat> other_format(std::string_view bytes, const std::string& file) {
  for (const Magic& magic : kMagics) {
    if (bytes.starts_with(magic.bytes))
      return OtherFormat{std::string(magic.what), with_file(magic.fix, file)};
  }
  if (is_bzip2(bytes))
    return OtherFormat{"is compressed with bzip2", "decompress it first: bunzip2 -k " + file};
  if (is_gguf(bytes))
    return OtherFormat{"is a GGUF file",
                       "use the model's safetensors, from which it was converted"};
  if (is_lfs_pointer(bytes))
    return OtherFormat{"is a Git LFS pointer, not the file itself",
                       "fetch the file: git lfs pull, in its repository"};
  return std::nullopt;
}

void refuse_other_format(std::string_view bytes, const std::string& file, std::string_view wanted) {
  // The two bytes of UTF-16 are as likely part of a damaged length.
  const bool wide = bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF");
  if (const auto other = other_format(bytes, file); other && !wide)
    user_error("{}: {}: expected {}; {}", file, other->what, wanted, other->fix);
  constexpr size_t kShown = 40, kLeast = 8;  // fewer bytes say nothing
  if (const std::string_view start = bytes.substr(0, kShown);
      start.size() >= kLeast && is_printable(start))
    user_error("{}: is text that begins with {}: expected {}; download it again if it is a message",
               file, quote(start), wanted);
}

namespace {

/// Eights of ASCII at the beginning, none of them zero.
size_t plain_bytes(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080, kOnes = 0x0101010101010101;
  size_t at = 0;
  for (uint64_t bytes = 0; at + sizeof(bytes) <= text.size(); at += sizeof(bytes)) {
    std::memcpy(&bytes, text.data() + at, sizeof(bytes));
    // A byte with a high bit, or one from which 1 cannot be taken.
    if (((bytes | (bytes - kOnes)) & kHighBits) != 0) break;
  }
  return at;
}

}  // namespace

size_t first_bad_byte(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    at += plain_bytes(text.substr(at));
    if (at == text.size()) break;
    const Utf8Step step = utf8_step(text.substr(at));
    if (!step.valid || step.code_point == 0) break;
    at += step.length;
  }
  return at;
}

std::string_view check_text(std::string_view bytes, const std::string& file) {
  if (const auto other = other_format(bytes, file))
    user_error("{}: {}: expected UTF-8 text; {}", file, other->what, other->fix);
  const size_t mark = bytes.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  const std::string_view text = bytes.substr(mark);
  if (text.empty()) user_error("{}: is empty: expected text", file);
  const size_t bad = first_bad_byte(text);
  if (bad == text.size()) return text;
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
  if (text[bad] == '\0') {
    user_error(
        "{}:{}: NUL byte at offset {}: expected UTF-8 text; convert UTF-16 with iconv -f UTF-16LE "
        "-t UTF-8",
        file, line, mark + bad);
  }
  user_error(
      "{}:{}: byte 0x{:02x} at offset {} is not UTF-8: expected UTF-8 text; convert it, for "
      "example with iconv -f LATIN1 -t UTF-8",
      file, line, static_cast<unsigned char>(text[bad]), mark + bad);
}

std::string read_text(const std::string& path) {
  std::string bytes;
  if (path == "-") {
    bytes.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored))
      user_error("{}: is a directory: expected a file", path);
    refuse_dangling_link(path);
    std::ifstream file(path, std::ios::binary);
    if (!file) system_failure(errno, path, "cannot be read");
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    if (file.bad()) internal_error("{}: cannot be read completely", path);
  }
  const std::string_view text = check_text(bytes, name_of(path));
  bytes.erase(0, bytes.size() - text.size());
  return bytes;
}

std::vector<std::string> text_lines(std::string_view text, const std::string& file) {
  const size_t first = text.find_first_of("\r\n");
  if (first != std::string_view::npos && first + 1 < text.size() && text[first] == '\r' &&
      text.find('\n') == std::string_view::npos)
    user_error("{}: its lines end in CR alone: expected LF or CRLF; convert it: mac2unix", file);
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    at = end + 1;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace vitrine::internal
