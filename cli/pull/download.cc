// SPDX-License-Identifier: MIT
#include "cli/pull/download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/file_lock.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "cli/core/interrupt.h"
#include "cli/pull/digest.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr uint64_t kProgress = 1'000'000;  // bytes that make a try worthwhile
constexpr size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kBetweenLooks{50};

/// The file that grows until it is the blob.
class PartialFile {
 public:
  PartialFile(std::filesystem::path path, const HubFile& file, std::atomic<uint64_t>& arrived)
      : path_(std::move(path)),
        file_(file),
        arrived_(arrived),
        digest_(file.etag, file.bytes),
        fd_(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0) system_failure(errno, path_.string(), "cannot be written");
  }
  ~PartialFile() { close(fd_); }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  uint64_t size() const { return size_; }
  bool whole() const { return size_ == file_.bytes; }

  /// Takes over what is there, if that may be a beginning of the file.
  void resume(const std::atomic<bool>& stop) {
    struct stat status {};
    if (fstat(fd_, &status) != 0) system_failure(errno, path_.string(), "cannot be read");
    if (static_cast<uint64_t>(status.st_size) > file_.bytes) return restart();
    std::string buffer(kReadBytes, '\0');
    for (;;) {
      throw_if_stopped(stop);
      const ssize_t count = read(fd_, buffer.data(), buffer.size());
      if (count < 0) system_failure(errno, path_.string(), "cannot be read");
      if (count == 0) return;
      take(std::as_bytes(std::span(buffer.data(), static_cast<size_t>(count))));
    }
  }

  void restart() {
    arrived_ -= size_;
    size_ = 0;
    digest_ = FileDigest(file_.etag, file_.bytes);
    if (ftruncate(fd_, 0) != 0 || lseek(fd_, 0, SEEK_SET) != 0)
      system_failure(errno, path_.string(), "cannot be written");
  }

  void append(std::span<const std::byte> bytes) {
    std::span<const std::byte> rest = bytes;
    while (!rest.empty()) {
      const ssize_t count = write(fd_, rest.data(), rest.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        internal_error(
            "{}: cannot be written after {} of {} bytes: {}; the same command resumes "
            "there",
            path_.string(), size_, file_.bytes, std::strerror(errno));
      }
      rest = rest.subspan(static_cast<size_t>(count));
    }
    take(bytes);
  }

  /// Whether the checksum is right; to be called once for a whole file, before restart().
  bool intact() { return digest_.hex() == file_.etag; }

  void commit(const std::filesystem::path& target) const {
    if (fsync(fd_) != 0 || std::rename(path_.c_str(), target.c_str()) != 0)
      system_failure(errno, target.string(), "cannot be written");
  }
  void discard() const { unlink(path_.c_str()); }

 private:
  void take(std::span<const std::byte> bytes) {
    digest_.add(bytes);
    size_ += bytes.size();
    arrived_ += bytes.size();
  }

  std::filesystem::path path_;
  const HubFile& file_;
  std::atomic<uint64_t>& arrived_;
  FileDigest digest_;
  uint64_t size_ = 0;
  int fd_;
};

/// Of "bytes 100-199/200": where the answer begins; nothing where that cannot be read.
std::optional<uint64_t> range_begin(const std::string& header) {
  constexpr std::string_view kUnit = "bytes ";
  if (!header.starts_with(kUnit)) return std::nullopt;
  uint64_t begin = 0;
  const char* first = header.data() + kUnit.size();
  const auto [end, error] = std::from_chars(first, header.data() + header.size(), begin);
  return error == std::errc() && *end == '-' ? std::optional(begin) : std::nullopt;
}

/// One request for what is missing. Returns how it ended.
HttpAnswer fetch_rest(HttpClient& client, const std::string& url, const HubFile& file,
                      PartialFile& partial) {
  bool begun = false;
  const auto take = [&](const HttpAnswer& answer, std::span<const std::byte> bytes) {
    if (!begun && partial.size() > 0 &&
        (answer.status != 206 || range_begin(answer.header("content-range")) != partial.size()))
      partial.restart();  // the server sends the file from its beginning, or from elsewhere
    if (!begun && answer.status == 206 &&
        range_begin(answer.header("content-range")).value_or(0) != partial.size()) {
      internal_error("{}: sends {} of {}: expected it from byte {}", answer.origin,
                     quote(answer.header("content-range")), quote(file.name), partial.size());
    }
    begun = true;
    if (bytes.size() > file.bytes - partial.size()) {
      internal_error("{}: sends more than the {} bytes that it said {} has", answer.origin,
                     file.bytes, quote(file.name));
    }
    partial.append(bytes);
  };
  return client.ask({.url = url, .from = partial.size(), .sink = take});
}

/// Requests until all bytes are there.
void fetch_all(HttpClient& client, const Hub& hub, const std::string& url, const HubFile& file,
               PartialFile& partial) {
  Tries tries;
  while (!partial.whole()) {
    const uint64_t before = partial.size();
    HttpAnswer answer = fetch_rest(client, url, file, partial);
    if (partial.whole()) return;
    if (answer.status == 416) {
      partial.restart();
      answer.passing = true;
    } else if (answer.good()) {
      answer.failure = fmt::format("ends after {} of {} bytes", partial.size(), file.bytes);
      answer.passing = true;
    }
    if (partial.size() >= before + kProgress) tries.renew();
    tries.wait_after(answer, client.stop(),
                     [&](const HttpAnswer& last) { hub.fail(last, file.name); });
  }
}

}  // namespace

void download(HttpClient& client, const Hub& hub, const HubStore& store, const std::string& commit,
              const HubFile& file, std::atomic<uint64_t>& arrived) {
  const FileLock lock(store.lock(file), [&] {
    throw_if_stopped(client.stop());
    std::this_thread::sleep_for(kBetweenLooks);
  });
  if (store.has(file)) {
    arrived += file.bytes;
    return;
  }
  PartialFile partial(store.incomplete(file), file, arrived);
  partial.resume(client.stop());
  bool resumed = partial.size() > 0;
  const std::string url = hub.address(commit, file.name);
  for (;;) {
    fetch_all(client, hub, url, file, partial);
    if (partial.intact()) break;
    // What an earlier process left may be wrong without the server's doing.
    if (!std::exchange(resumed, false)) {
      partial.discard();
      internal_error(
          "{} of {}: the checksum of what was sent is not {}: the server, or something on "
          "the way, changed it; try again",
          quote(file.name), hub.repository().name, file.etag);
    }
    partial.restart();
  }
  partial.commit(store.blob(file));
}

}  // namespace vitrine::cli
