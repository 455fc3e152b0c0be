#pragma once

#include <filesystem>

namespace vitrine {

/// Holds a file that says that a process works in a folder. The system lets go of it when the process ends, however it ends; the
/// file itself stays, empty.
class FileLock {
 public:
  /// Throws Error (user) if another process holds it, or if it cannot be made.
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace vitrine
