// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>

namespace vitrine::internal {

/// A folder that appears with everything in it or not at all: files go into a temporary one beside
/// the target, which commit() renames to the target. Destroyed without commit(), as an exception
/// does, no file is left.
class AtomicFolder {
 public:
  /// `expected_bytes`: what will be written into it, so that a full disk is found before the work.
  /// `replace`: a folder that is there stays until commit(), which takes its place and removes it.
  /// Throws Error (user) for another target that is there already (an empty folder excepted), that
  /// cannot be made, or a disk that has not the room.
  explicit AtomicFolder(const std::filesystem::path& target, uint64_t expected_bytes = 0,
                        bool replace = false);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  /// Where files are to be written until then.
  const std::filesystem::path& path() const { return temporary_; }
  /// Throws Error, (user) if somebody has filled the target in the meantime. To be called once,
  /// last.
  void commit();

 private:
  void discard() noexcept;

  std::filesystem::path target_, temporary_;
  bool replace_;
};

}  // namespace vitrine::internal
