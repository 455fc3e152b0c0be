// SPDX-License-Identifier: MIT
#include "kernels/cpu/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/large_pages.h"

namespace vitrine::internal::cpu {
namespace {

constexpr size_t kLine = 64;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

std::optional<size_t> read_number(const char* path) {
  std::ifstream file(path);
  size_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // no such file, or the word "max"
}

std::optional<size_t> control_group_room() {
  constexpr const char* kFiles[][2] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
       "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (const auto& [limit_file, used_file] : kFiles) {
    const auto limit = read_number(limit_file), used = read_number(used_file);
    if (limit && used) return *limit > *used ? *limit - *used : 0;
  }
  return std::nullopt;
}

size_t machine_room() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (size_t kilobytes = 0; file >> key >> kilobytes;
       file.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return std::numeric_limits<size_t>::max();
}

[[noreturn]] void refuse(size_t bytes) {
  internal_error(
      "out of memory for {} bytes ({:.1f} GB): {} bytes are available; use a smaller model, "
      "shorter texts or fewer captures",
      bytes, static_cast<double>(bytes) * 1e-9, available_memory());
}

Buffer allocate_small(size_t bytes) {
  void* data = std::aligned_alloc(kLine, round_up(std::max(bytes, kLine), kLine));
  if (data == nullptr) refuse(bytes);
  std::memset(data, 0, round_up(std::max(bytes, kLine), kLine));
  return {data, bytes, std::shared_ptr<void>(data, std::free)};
}

Buffer allocate_large(size_t bytes) {
  std::shared_ptr<std::byte> memory = map_large_pages(bytes);
  if (memory == nullptr) refuse(bytes);
  std::byte* data = memory.get();
  return {data, bytes, std::move(memory)};
}

}  // namespace

Buffer allocate_memory(size_t bytes) {
  if (bytes < kLargePage) return allocate_small(bytes);
  if (bytes > available_memory()) refuse(bytes);
  return allocate_large(bytes);
}

size_t available_memory() {
  const size_t machine = machine_room();
  return std::min(machine, control_group_room().value_or(machine));
}

ScratchPool::Lease ScratchPool::borrow(size_t floats) {
  const size_t bytes = floats * sizeof(float);
  {
    const std::lock_guard lock(mutex_);
    const auto fits = std::find_if(free_.begin(), free_.end(),
                                   [&](const Buffer& b) { return b.bytes() >= bytes; });
    if (fits != free_.end()) {
      Buffer found = std::move(*fits);
      free_.erase(fits);
      return {*this, std::move(found)};
    }
    if (!free_.empty()) free_.pop_back();  // grow instead of collecting buffers of every size
  }
  ++allocations_;
  return {*this, allocate_memory(bytes)};
}

void ScratchPool::give_back(Buffer buffer) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(buffer));
}

}  // namespace vitrine::internal::cpu
