// SPDX-License-Identifier: MIT
#include "analysis/corpus/byte_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/system_error.h"
#include "base/text_file.h"

namespace vitrine::internal {
namespace {

constexpr size_t kBuffer = 1u << 18;

}  // namespace

ByteSource::ByteSource(std::string path) : path_(std::move(path)), buffer_(kBuffer) {
  fd_ = path_ == "-" ? dup(STDIN_FILENO) : open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) system_failure(errno, path_, "cannot be read");
  const std::string name = path_ == "-" ? "standard input" : path_;
  if (const auto other = other_format(peek(), name))
    user_error("{}: {}: expected UTF-8 text; {}", name, other->what, other->fix);
  if (peek().starts_with(kByteOrderMark)) take(kByteOrderMark.size());
}

ByteSource::~ByteSource() { close(fd_); }

std::string_view ByteSource::peek() {
  while (begin_ == end_) {
    const ssize_t count = read(fd_, buffer_.data(), buffer_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) internal_error("{}: cannot be read completely: {}", path_, std::strerror(errno));
    begin_ = 0;
    end_ = static_cast<size_t>(count);
    if (count == 0) break;
  }
  return {buffer_.data() + begin_, end_ - begin_};
}

void ByteSource::take(size_t count) {
  begin_ += count;
  offset_ += count;
}

void ByteSource::seek(uint64_t offset) {
  if (lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0)
    internal_error("{}: cannot be read from byte {}: {}", path_, offset, std::strerror(errno));
  begin_ = end_ = 0;
  offset_ = offset;
}

bool ByteSource::line(std::string& line, uint64_t limit, bool& too_long) {
  line.clear();
  too_long = false;
  bool any = false;
  for (std::string_view ready = peek(); !ready.empty(); ready = peek()) {
    any = true;
    const size_t end = ready.find('\n');
    const size_t count = std::min(end, ready.size());
    too_long = too_long || line.size() + count > limit;
    if (too_long)
      line.clear();
    else
      line.append(ready.substr(0, count));
    take(end == std::string_view::npos ? count : count + 1);
    if (end != std::string_view::npos) break;
  }
  return any;
}

bool ByteSource::rest(std::string& text, uint64_t limit) {
  text.clear();
  for (std::string_view ready = peek(); !ready.empty(); ready = peek()) {
    if (text.size() + ready.size() > limit) {
      text.clear();
      // It counts as read, so that progress reaches its end; the end of a pipe is unknown.
      if (const off_t end = lseek(fd_, 0, SEEK_END); end > 0) offset_ = static_cast<uint64_t>(end);
      begin_ = end_ = 0;
      return false;
    }
    text.append(ready);
    take(ready.size());
  }
  return true;
}

}  // namespace vitrine::internal
