// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace vitrine::internal {

/// A file that appears whole or not at all: bytes go to a temporary beside the target, which is
/// synced to the disk and renamed over the target by commit(). Destroyed without commit(), as an
/// exception does, no file is left.
class AtomicFile {
 public:
  /// `expected_bytes`, where known, is reserved at once, so that a full disk is found before the
  /// work and not after it. Throws Error (user) for a target that cannot be written, (internal)
  /// for a disk without room.
  explicit AtomicFile(std::filesystem::path path, uint64_t expected_bytes = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws Error (internal), also for a full disk: path, bytes wanted, the system's reason. The
  /// temporary is removed; the target is untouched.
  void append(std::span<const std::byte> bytes);
  void append(std::string_view text);
  /// The same at a place of the file, wherever append() is. All bytes together are to fill the
  /// file, each written once.
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t bytes_written() const { return written_; }
  /// Throws as append does. To be called once, last.
  void commit();

 private:
  [[noreturn]] void fail(const char* doing, uint64_t wanted, int error);
  void discard() noexcept;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  uint64_t written_ = 0;
};

/// Writes a whole file at once.
void write_file(const std::filesystem::path& path, std::string_view contents);

}  // namespace vitrine::internal
