// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>

namespace vitrine::internal {

/// Holds a file that says that a process works in a folder, or on another file. The system lets go
/// of it when the process ends, however it ends; the file itself stays, empty.
class FileLock {
 public:
  /// Throws Error (user) naming `guarded` if another process holds it, and `path` if it cannot be
  /// made.
  FileLock(const std::filesystem::path& path, const std::filesystem::path& guarded);
  /// Waits until no other process holds it, and calls `wait` between two looks, which may throw.
  FileLock(const std::filesystem::path& path, const std::function<void()>& wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(const std::filesystem::path& path);
  /// False if another process holds it.
  bool take() const;

  int fd_ = -1;
};

}  // namespace vitrine::internal
