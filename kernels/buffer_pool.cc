// SPDX-License-Identifier: MIT
#include "kernels/buffer_pool.h"

#include <algorithm>

namespace vitrine::internal {
namespace {

// Enough for the buffers of a few runs at once; more would only hold on to memory.
constexpr size_t kMaxFree = 8;
// A free buffer serves a request of at least this share of its size, so that small runs do not sit
// on large ones' memory.
constexpr size_t kMaxWaste = 4;

}  // namespace

Buffer BufferPool::take(size_t bytes) {
  if (bytes == 0) return {};
  Buffer buffer;
  {
    const std::lock_guard lock(shared_->mutex);
    auto best = shared_->free.end();
    for (auto it = shared_->free.begin(); it != shared_->free.end(); ++it) {
      if (it->bytes() < bytes || it->bytes() / kMaxWaste > bytes) continue;
      if (best == shared_->free.end() || it->bytes() < best->bytes()) best = it;
    }
    if (best != shared_->free.end()) {
      buffer = *best;
      shared_->free.erase(best);
    }
  }
  if (!buffer) buffer = allocate(bytes);

  const std::weak_ptr<Shared> pool = shared_;
  const auto give_back = [pool](Buffer* returned) {
    if (const auto shared = pool.lock()) {
      const std::lock_guard lock(shared->mutex);
      shared->free.push_back(*returned);
      if (shared->free.size() > kMaxFree) shared->free.erase(shared->free.begin());
    }
    delete returned;
  };
  void* data = buffer.data();
  const size_t size = buffer.bytes();
  return {data, size, std::shared_ptr<Buffer>(new Buffer(std::move(buffer)), give_back)};
}

Buffer BufferPool::allocate(size_t bytes) {
  try {
    return allocate_(bytes);
  } catch (const std::exception&) {
    std::vector<Buffer> free;
    {
      const std::lock_guard lock(shared_->mutex);
      free.swap(shared_->free);
    }
    if (free.empty()) throw;
  }
  return allocate_(bytes);
}

size_t BufferPool::free_bytes() const {
  const std::lock_guard lock(shared_->mutex);
  size_t bytes = 0;
  for (const Buffer& buffer : shared_->free) bytes += buffer.bytes();
  return bytes;
}

}  // namespace vitrine::internal
