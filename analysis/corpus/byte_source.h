// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// A file, or standard input ("-"), read once from front to back. A byte order mark at its front is
/// passed over.
class ByteSource {
 public:
  /// Throws Error (user) if it cannot be opened, and if it begins as another format than text.
  explicit ByteSource(std::string path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// The next line without its '\n'; false at the end. Of one longer than `limit` nothing is kept,
  /// and too_long says so. Throws Error (internal) if reading fails.
  bool line(std::string& line, uint64_t limit, bool& too_long);
  /// All that is left; false if it is longer than `limit`, and then nothing of it is kept.
  bool rest(std::string& text, uint64_t limit);
  uint64_t offset() const { return offset_; }  ///< of the next byte
  /// Continues at this byte of a regular file.
  void seek(uint64_t offset);
  bool at_end() { return peek().empty(); }

 private:
  std::string_view peek();
  void take(size_t count);

  std::string path_;
  int fd_ = -1;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what is in the buffer and not taken yet
  uint64_t offset_ = 0;
};

}  // namespace vitrine::internal
