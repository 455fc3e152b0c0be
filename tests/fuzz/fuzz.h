// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "vitrine/error.h"

namespace vitrine::fuzz {

/// Runs a parser on outside bytes. It may throw Error; whatever else it does is for the sanitizers
/// to see.
template <typename Parse>
int run(const uint8_t* data, size_t size, const Parse& parse) {
  try {
    parse(std::as_bytes(std::span(data, size)));
  } catch (const Error&) {
  }
  return 0;
}

/// A file in memory, for parsers that want a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::byte> bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    while (!bytes.empty()) {
      const ssize_t written = write(fd_, bytes.data(), bytes.size());
      if (written <= 0) break;
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// Files in a folder of this process, for parsers that read several or go by their names. They are
/// removed with this.
class Folder {
 public:
  Folder() {
    static const std::filesystem::path folder = [] {
      std::error_code ignored;
      const std::filesystem::path memory = "/dev/shm";
      const auto place = std::filesystem::is_directory(memory, ignored)
                             ? memory
                             : std::filesystem::temp_directory_path();
      return place / ("vitrine-fuzz-" + std::to_string(getpid()));
    }();
    path_ = folder;
    std::filesystem::create_directory(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(std::string_view name, std::string_view contents) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(contents.data(), static_cast<std::streamsize>(contents.size()));
    return path_ / name;
  }
  /// One input for several files: each begins with a line "=== NAME". Only files of `names` are
  /// written.
  void unpack(std::string_view text, std::initializer_list<std::string_view> names) const {
    constexpr std::string_view kStart = "=== ";
    while (text.starts_with(kStart)) {
      text.remove_prefix(kStart.size());
      const size_t line = text.find('\n');
      if (line == std::string_view::npos) return;
      const std::string_view name = text.substr(0, line);
      text.remove_prefix(line + 1);
      const size_t end = text.find("\n=== ");
      if (std::find(names.begin(), names.end(), name) != names.end())
        write(name, text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
  }

 private:
  std::filesystem::path path_;
};

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The first byte chooses one of `count` ways to read the rest.
inline size_t choose(std::span<const std::byte>& bytes, size_t count) {
  if (bytes.empty()) return 0;
  const size_t choice = std::to_integer<size_t>(bytes[0]) % count;
  bytes = bytes.subspan(1);
  return choice;
}

/// Says that a parser's promise is broken.
inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace vitrine::fuzz
