// SPDX-License-Identifier: MIT
#include "base/unfinished.h"

#include <set>
#include <system_error>

namespace vitrine::internal {
namespace {

struct Registry {
  std::mutex mutex;
  std::set<std::filesystem::path> paths;
};

/// Never destroyed: a thread may end the program while static objects are being destroyed.
Registry& registry() {
  static Registry& all = *new Registry;
  return all;
}

}  // namespace

Unfinished::Unfinished() : lock_(registry().mutex) {}

void Unfinished::add(const std::filesystem::path& path) { registry().paths.insert(path); }

void Unfinished::drop(const std::filesystem::path& path) noexcept { registry().paths.erase(path); }

void Unfinished::remove_all() noexcept {
  registry().mutex.lock();  // and never unlocked
  std::error_code ignored;
  for (const auto& path : registry().paths) std::filesystem::remove_all(path, ignored);
}

}  // namespace vitrine::internal
