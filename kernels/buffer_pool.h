// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/backend/mat.h"

namespace vitrine::internal {

/// Keeps buffers of finished runs for the next ones, because fresh memory of the system costs a
/// page fault and a clearing for every page. Buffers return by themselves when their last copy
/// goes, even after the pool is gone.
class BufferPool {
 public:
  explicit BufferPool(std::function<Buffer(size_t)> allocate)
      : allocate_(std::move(allocate)), shared_(std::make_shared<Shared>()) {}

  /// At least `bytes` long; the contents are whatever they were. Where `allocate` throws, the free
  /// buffers are given up and it is called once more; throws what it then throws.
  Buffer take(size_t bytes);
  /// Bytes of the buffers that wait for the next run.
  size_t free_bytes() const;

 private:
  Buffer allocate(size_t bytes);

  struct Shared {
    std::mutex mutex;
    std::vector<Buffer> free;
  };
  std::function<Buffer(size_t)> allocate_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace vitrine::internal
