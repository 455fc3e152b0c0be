// SPDX-License-Identifier: MIT
#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/system_error.h"
#include "base/unfinished.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

// Where a link points to is what gets replaced, not the link; a device or a directory is not
// replaced at all.
fs::path real_file(fs::path path) {
  std::error_code ignored;
  if (path.filename().empty())
    user_error("{}: invalid output path: expected the name of a file", path.string());
  if (fs::is_symlink(path, ignored)) path = fs::weakly_canonical(path, ignored);
  const auto status = fs::status(path, ignored);
  if (fs::is_directory(status))
    user_error("{}: is a directory: expected a file to write", path.string());
  if (fs::exists(status) && !fs::is_regular_file(status))
    user_error("{}: is not a regular file: choose another output path", path.string());
  return path;
}

// There is another disk, or something to delete on this one.
bool is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

}  // namespace

AtomicFile::AtomicFile(fs::path path, uint64_t expected_bytes) : path_(real_file(std::move(path))) {
  static std::atomic<uint64_t> counter{0};
  const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  // The name of the target is not part of the temporary's, which could then be too long where the
  // target's is not.
  int error = 0;
  {
    Unfinished unfinished;
    do {
      temporary_ = folder / fmt::format(".vitrine-{}-{}.tmp", getpid(), counter++);
      fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0)
      error = errno;
    else
      unfinished.add(temporary_);
  }
  if (fd_ < 0) {
    const auto line = fmt::format("{}: cannot be written: {} in {}", path_.string(),
                                  std::strerror(error), folder.string());
    throw Error(kind_of_failure(error), line);
  }
  if (expected_bytes == 0) return;
  const int failed = fallocate(fd_, 0, 0, static_cast<off_t>(expected_bytes)) == 0 ? 0 : errno;
  // Some file systems cannot reserve space; the write continues without.
  if (is_full(failed)) fail("reserving", expected_bytes, failed);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
    Unfinished unfinished;
    unlink(temporary_.c_str());
    unfinished.drop(temporary_);
  }
}

void AtomicFile::fail(const char* doing, uint64_t wanted, int error) {
  const uint64_t before = written_;
  discard();
  internal_error("{}: cannot be written: {} {} bytes after {}: {}; no file was left",
                 path_.string(), doing, wanted, before, std::strerror(error));
}

void AtomicFile::append(std::span<const std::byte> bytes) {
  if (fd_ < 0) internal_error("{}: written to after it was finished", path_.string());
  while (!bytes.empty()) {
    const ssize_t count = write(fd_, bytes.data(), std::min<size_t>(bytes.size(), 1u << 30));
    if (count < 0) {
      if (errno == EINTR) continue;
      fail("writing", bytes.size(), errno);
    }
    written_ += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  if (fd_ < 0) internal_error("{}: written to after it was finished", path_.string());
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fd_, bytes.data(), std::min<size_t>(bytes.size(), 1u << 30),
                                 static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      fail("writing", bytes.size(), errno);
    }
    written_ += static_cast<uint64_t>(count);
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::append(std::string_view text) {
  append(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::commit() {
  if (fd_ < 0) internal_error("{}: finished twice", path_.string());
  if (ftruncate(fd_, static_cast<off_t>(written_)) != 0) fail("trimming to", written_, errno);
  if (fsync(fd_) != 0) fail("syncing", written_, errno);
  int error = 0;
  {
    Unfinished unfinished;
    error = rename(temporary_.c_str(), path_.c_str()) == 0 ? 0 : errno;
    if (error == 0) unfinished.drop(temporary_);
  }
  if (error != 0) fail("renaming", written_, error);
  const int closed = close(std::exchange(fd_, -1));
  if (closed != 0) internal_error("{}: cannot be closed: {}", path_.string(), std::strerror(errno));
  // The rename is durable only after the folder is synced. If the folder cannot be synced, the file
  // is still complete.
  const int folder = open(temporary_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    (void)fsync(folder);
    close(folder);
  }
}

void write_file(const fs::path& path, std::string_view contents) {
  AtomicFile file(path, contents.size());
  file.append(contents);
  file.commit();
}

}  // namespace vitrine::internal
