// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <mutex>

namespace vitrine::internal {

/// The temporary files and folders of this process that are not finished. AtomicFile and
/// AtomicFolder keep the list; a program that ends without destructors removes what is on it.
class Unfinished {
 public:
  /// While it lives, no other thread creates, renames or removes a temporary.
  Unfinished();
  void add(const std::filesystem::path& path);
  void drop(const std::filesystem::path& path) noexcept;

  /// Removes all of them, folders with their contents. Other threads that create or finish a
  /// temporary wait from then on, so the process must end next.
  static void remove_all() noexcept;

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace vitrine::internal
