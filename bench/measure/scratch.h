// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

namespace vitrine::bench {

/// A folder of its own inside another, removed with everything in it.
class Scratch {
 public:
  /// `where`: empty for the system's folder of temporary files. Throws Error (user) if nothing can
  /// be made there.
  explicit Scratch(const std::filesystem::path& where);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Bytes a second of writing `bytes` to a new file in `folder`, until they are on the disk (fsync).
double disk_write_rate(const std::filesystem::path& folder, size_t bytes);

/// Asks the system to forget what it has cached of the files below a folder, where their file
/// system can.
void drop_cached(const std::filesystem::path& folder);
/// Bytes a second of reading all files below a folder from front to back, after drop_cached().
double disk_read_rate(const std::filesystem::path& folder);

}  // namespace vitrine::bench
