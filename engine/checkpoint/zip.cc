// SPDX-License-Identifier: MIT
#include "engine/checkpoint/zip.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/quote.h"

// The structures and their signatures are those of PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.

namespace vitrine::internal {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50,
                   kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50, kLocator64Signature = 0x07064b50;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                 kLocator64Bytes = 20;
constexpr uint16_t kZip64Extra = 1;
constexpr uint32_t kIn64Bits =
    0xffffffffu;  // marks a 32-bit field whose value is in the zip64 extra field

class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path) {}

  template <typename T>
  T at(uint64_t offset) const {
    require(offset, sizeof(T));
    T value = 0;
    std::memcpy(&value, file_.data() + offset, sizeof(T));
    return value;
  }
  std::string_view text(uint64_t offset, size_t size) const {
    require(offset, size);
    return {reinterpret_cast<const char*>(file_.data()) + offset, size};
  }
  void require(uint64_t offset, uint64_t size) const {
    if (offset > file_.size() || size > file_.size() - offset)
      damaged("points outside the file (truncated?)");
  }
  [[noreturn]] void damaged(std::string_view what) const {
    user_error("{}: damaged zip archive: {}", path_, what);
  }
  size_t size() const { return file_.size(); }
  const std::string& path() const { return path_; }

 private:
  std::span<const std::byte> file_;
  const std::string& path_;
};

struct Directory {
  uint64_t offset = 0, size = 0, entries = 0;
};

Directory find_directory(const Reader& file) {
  if (file.size() < kEndBytes) file.damaged("too short");
  const size_t last = file.size() - kEndBytes;
  const size_t first =
      last > 0xffff ? last - 0xffff : 0;  // a comment of up to 65535 bytes may follow
  size_t end = last;
  while (file.at<uint32_t>(end) != kEndSignature ||
         file.at<uint16_t>(end + 20) != file.size() - end - kEndBytes) {
    if (end-- == first) file.damaged("missing directory at its end (truncated?)");
  }
  Directory directory{file.at<uint32_t>(end + 16), file.at<uint32_t>(end + 12),
                      file.at<uint16_t>(end + 10)};
  if (end >= kLocator64Bytes && file.at<uint32_t>(end - kLocator64Bytes) == kLocator64Signature) {
    const uint64_t end64 = file.at<uint64_t>(end - kLocator64Bytes + 8);
    file.require(end64, kEnd64Bytes);
    if (file.at<uint32_t>(end64) != kEnd64Signature) file.damaged("its zip64 record is missing");
    directory = {file.at<uint64_t>(end64 + 48), file.at<uint64_t>(end64 + 40),
                 file.at<uint64_t>(end64 + 32)};
  }
  file.require(directory.offset, directory.size);
  return directory;
}

struct Sizes {
  uint64_t plain = 0, stored = 0, offset = 0;
};

// Takes the sizes that do not fit 32 bits from the entry's extra fields.
Sizes sizes_of(const Reader& file, uint64_t entry, size_t name_bytes, size_t extra_bytes) {
  Sizes sizes{file.at<uint32_t>(entry + 24), file.at<uint32_t>(entry + 20),
              file.at<uint32_t>(entry + 42)};
  uint64_t at = entry + kCentralBytes + name_bytes;
  const uint64_t end = at + extra_bytes;
  file.require(entry, kCentralBytes + name_bytes + extra_bytes);
  while (end - at >= 4) {
    const auto id = file.at<uint16_t>(at);
    const uint64_t next = at + 4 + file.at<uint16_t>(at + 2);
    if (next > end) file.damaged("an extra field is too long");
    at += 4;
    if (id == kZip64Extra) {
      for (uint64_t* field : {&sizes.plain, &sizes.stored, &sizes.offset}) {
        if (*field != kIn64Bits) continue;
        if (next - at < 8) file.damaged("a zip64 field is too short");
        *field = file.at<uint64_t>(at);
        at += 8;
      }
    }
    at = next;
  }
  return sizes;
}

}  // namespace

std::map<std::string, ZipEntry> read_zip_directory(std::span<const std::byte> bytes,
                                                   const std::string& path) {
  const Reader file(bytes, path);
  const Directory directory = find_directory(file);
  const uint64_t directory_end = directory.offset + directory.size;
  std::map<std::string, ZipEntry> entries;
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (directory_end - at < kCentralBytes || file.at<uint32_t>(at) != kCentralSignature) {
      file.damaged(
          fmt::format("entry {} of {} of its directory is missing", i + 1, directory.entries));
    }
    const size_t name_bytes = file.at<uint16_t>(at + 28);
    const size_t extra_bytes = file.at<uint16_t>(at + 30);
    const size_t comment_bytes = file.at<uint16_t>(at + 32);
    const std::string name(file.text(at + kCentralBytes, name_bytes));
    const Sizes sizes = sizes_of(file, at, name_bytes, extra_bytes);
    if ((file.at<uint16_t>(at + 8) & 1) != 0)
      user_error("{}: zip entry {} is encrypted", path, quote(name));
    if (file.at<uint16_t>(at + 10) != 0 || sizes.plain != sizes.stored) {
      user_error(
          "{}: zip entry {} is compressed: expected uncompressed entries, as torch.save writes",
          path, quote(name));
    }
    file.require(sizes.offset, kLocalBytes);
    if (file.at<uint32_t>(sizes.offset) != kLocalSignature ||
        file.at<uint16_t>(sizes.offset + 26) != name_bytes ||
        file.text(sizes.offset + kLocalBytes, name_bytes) != name) {
      file.damaged(fmt::format("entry {} is not where the directory says", quote(name)));
    }
    const uint64_t data =
        sizes.offset + kLocalBytes + name_bytes + file.at<uint16_t>(sizes.offset + 28);
    file.require(data, sizes.plain);
    if (!entries.emplace(name, ZipEntry{data, sizes.plain}).second)
      file.damaged(fmt::format("duplicate entry {}", quote(name)));
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
    if (at > directory_end) file.damaged("its directory is longer than it says");
  }
  return entries;
}

}  // namespace vitrine::internal
