// SPDX-License-Identifier: MIT
#include "base/unfinished.h"

#include <set>
#include <system_error>

namespace vitrine::internal {
namespace {

struct UnfinishedPaths {
  std::mutex mutex;
  std::set<std::filesystem::path> paths;
};

/// Never destroyed: a thread may end the program while static objects are being destroyed.
UnfinishedPaths& unfinished_paths() {
  static UnfinishedPaths& all = *new UnfinishedPaths;
  return all;
}

}  // namespace

Unfinished::Unfinished() : lock_(unfinished_paths().mutex) {}

void Unfinished::add(const std::filesystem::path& path) { unfinished_paths().paths.insert(path); }

void Unfinished::drop(const std::filesystem::path& path) noexcept {
  unfinished_paths().paths.erase(path);
}

void Unfinished::remove_all() noexcept {
  unfinished_paths().mutex.lock();  // and never unlocked
  std::error_code ignored;
  for (const auto& path : unfinished_paths().paths) std::filesystem::remove_all(path, ignored);
}

}  // namespace vitrine::internal
