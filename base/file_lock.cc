// SPDX-License-Identifier: MIT
#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/system_error.h"

namespace vitrine::internal {

FileLock::FileLock(const std::filesystem::path& path)
    : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (fd_ < 0) system_failure(errno, path.string(), "cannot be written");
}

// Some network file systems have no locks; the write then continues unguarded.
bool FileLock::take() const { return flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

FileLock::FileLock(const std::filesystem::path& path, const std::filesystem::path& guarded)
    : FileLock(path) {
  if (take()) return;
  user_error("{}: in use by another process; wait for it, or choose another path",
             guarded.string());
}

FileLock::FileLock(const std::filesystem::path& path, const std::function<void()>& wait)
    : FileLock(path) {
  while (!take()) wait();
}

FileLock::~FileLock() { close(fd_); }

}  // namespace vitrine::internal
