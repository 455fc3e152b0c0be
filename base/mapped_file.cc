// SPDX-License-Identifier: MIT
#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "base/dangling_link.h"
#include "base/system_error.h"

namespace vitrine::internal {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  // Without O_NONBLOCK a named pipe would make us wait for a writer.
  const Descriptor file{open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    const int error = errno;
    if (error == ENOENT) {
      refuse_dangling_link(path_);
      user_error("{}: no such file", path_.string());
    }
    system_failure(error, path_.string(), "cannot be opened");
  }
  struct stat info = {};
  if (fstat(file.fd, &info) != 0)
    internal_error("{}: cannot be examined: {}", path_.string(), std::strerror(errno));
  if (S_ISDIR(info.st_mode)) user_error("{}: is a directory: expected a file", path_.string());
  if (!S_ISREG(info.st_mode)) user_error("{}: is not a regular file", path_.string());
  if (info.st_size == 0) user_error("{}: is empty", path_.string());
  size_ = static_cast<size_t>(info.st_size);
  void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED)
    internal_error("{}: {} bytes cannot be mapped: {}", path_.string(), size_,
                   std::strerror(errno));
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() { munmap(const_cast<std::byte*>(data_), size_); }

const std::byte* MappedFile::aligned(size_t offset, size_t count, size_t alignment) const {
  if (offset > size_ || count > size_ - offset) {
    internal_error("{}: bytes [{}, {} + {}) are outside its {}", path_.string(), offset, offset,
                   count, size_);
  }
  const std::byte* in_place = data_ + offset;
  if (reinterpret_cast<uintptr_t>(in_place) % alignment == 0) return in_place;
  const std::lock_guard lock(mutex_);
  auto& copy = copies_[{offset, count}];
  if (!copy) {
    copy.reset(new (std::nothrow) std::byte[std::max<size_t>(count, 1)]);
    if (!copy) internal_error("{}: out of memory for {} bytes read from it", path_.string(), count);
    std::memcpy(copy.get(), in_place, count);
    advise(offset, count, MADV_DONTNEED);
  }
  return copy.get();
}

void MappedFile::release(size_t offset, size_t count) const {
  advise(offset, count, MADV_DONTNEED);
  const std::lock_guard lock(mutex_);
  copies_.erase({offset, count});
}

void MappedFile::prefetch(size_t offset, size_t count) const {
  advise(offset, count, MADV_WILLNEED);
}

void MappedFile::advise_sequential() const { advise(0, size_, MADV_SEQUENTIAL); }

void MappedFile::advise(size_t offset, size_t count, int advice) const {
  if (offset >= size_ || count == 0) return;
  // Widened to whole pages: a neighbour's page that goes with it is only read again. Advice may be
  // refused; it is advice.
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = offset / page * page;
  const size_t end = offset + std::min(count, size_ - offset);
  (void)madvise(const_cast<std::byte*>(data_) + begin, end - begin, advice);
}

}  // namespace vitrine::internal
