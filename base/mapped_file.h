// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

namespace vitrine::internal {

/// A regular file mapped read-only into memory. The bytes live as long as the object.
///
/// A file that another process shortens while it is mapped raises SIGBUS in this one, as with any
/// mapping: replace model files by renaming, as every tool that downloads them does. The commands
/// name the file and end with status 1.
class MappedFile {
 public:
  /// Throws Error (user) for a path that is missing, not a regular file, empty or not readable.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  size_t size() const { return size_; }
  const std::byte* data() const { return data_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// The bytes [offset, offset + count) at an address that is a multiple of `alignment`: in place
  /// where the file is laid out so (nearly always), else a copy that lasts until release() of the
  /// same range. Files written by old versions of safetensors (among them OpenAI's GPT-2 as
  /// published) have odd offsets. Any thread may call it.
  const std::byte* aligned(size_t offset, size_t count, size_t alignment) const;

  /// Says that the range will not be read again soon: its pages leave this process's memory
  /// (reading them again fetches them again) and the copy that aligned() made of it is freed.
  void release(size_t offset, size_t count) const;
  /// Asks the system to start reading the range from the disk.
  void prefetch(size_t offset, size_t count) const;
  /// Says that the file will be read from front to back, so that the system reads far ahead.
  void advise_sequential() const;

 private:
  void advise(size_t offset, size_t count, int advice) const;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  mutable std::mutex mutex_;  // guards copies_
  // By offset and count: a tensor without elements begins where the next one does.
  mutable std::map<std::pair<size_t, size_t>, std::unique_ptr<std::byte[]>> copies_;
};

}  // namespace vitrine::internal
