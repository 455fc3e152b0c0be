// SPDX-License-Identifier: MIT
#include "base/atomic_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/check.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "base/unfinished.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInTheWay =
    "{}: is there already and not empty; name a new folder, or remove this one";

/// Without a slash at its end, and where links lead: a folder cannot be renamed over a link.
fs::path real_folder(const fs::path& path) {
  std::error_code error;
  if (path.empty()) user_error("the output folder's name is empty: expected a path");
  fs::path target = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) system_failure(error.value(), path.string(), "cannot be written");
  return target.has_filename() ? target : target.parent_path();
}

void require_free(const fs::path& target, bool replace) {
  std::error_code ignored;
  const auto status = fs::symlink_status(target, ignored);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    user_error("{}: exists and is not a folder: choose a new path", target.string());
  if (!replace && !fs::is_empty(target, ignored)) user_error(kInTheWay, target.string());
}

void require_room(const fs::path& target, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(target.parent_path(), error);
  if (error || space.available >= bytes)
    return;  // a file system that does not say is found full by the files themselves
  internal_error(
      "{}: insufficient disk space: {} to write, {} free; free some space, or write less",
      target.string(), human_bytes(static_cast<double>(bytes)),
      human_bytes(static_cast<double>(space.available)));
}

}  // namespace

AtomicFolder::AtomicFolder(const fs::path& target, uint64_t expected_bytes, bool replace)
    : target_(real_folder(target)), replace_(replace) {
  static std::atomic<uint64_t> counter{0};
  require_free(target_, replace_);
  int error = 0;
  {
    Unfinished unfinished;
    do {
      temporary_ =
          target_.parent_path() / fmt::format(".vitrine-{}-{}.folder", getpid(), counter++);
      error = mkdir(temporary_.c_str(), 0777) == 0 ? 0 : errno;
    } while (error == EEXIST);
    if (error == 0) unfinished.add(temporary_);
  }
  if (error != 0) {
    temporary_.clear();
    system_failure(error, target_.string(),
                   "cannot be written in " + target_.parent_path().string());
  }
  try {
    require_room(target_, expected_bytes);
  } catch (...) {
    discard();
    throw;
  }
}

AtomicFolder::~AtomicFolder() { discard(); }

void AtomicFolder::discard() noexcept {
  if (temporary_.empty()) return;
  Unfinished unfinished;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
  unfinished.drop(temporary_);
  temporary_.clear();
}

void AtomicFolder::commit() {
  int error = 0;
  {
    Unfinished unfinished;
    error = rename(temporary_.c_str(), target_.c_str()) == 0 ? 0 : errno;
    if (error == 0) unfinished.drop(temporary_);
  }
  if (replace_ && (error == ENOTEMPTY || error == EEXIST)) {
    // The two change places in one step; what was there is then the temporary.
    const int exchanged =
        renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE);
    error = exchanged == 0 ? 0 : errno;
    if (error == 0) discard();
    if (error == EINVAL || error == ENOSYS)
      user_error("{}: this file system replaces no folders: remove it first", target_.string());
  }
  if (error == ENOTEMPTY || error == EEXIST || error == ENOTDIR)
    user_error(kInTheWay, target_.string());
  if (error != 0) {
    internal_error("{}: cannot be written: renaming the finished folder failed: {}",
                   target_.string(), std::strerror(error));
  }
  temporary_.clear();
  // As for a file: the rename lasts once the folder around it is on the disk.
  const int parent = open(target_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return;
  (void)fsync(parent);
  close(parent);
}

}  // namespace vitrine::internal
