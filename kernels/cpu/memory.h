// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/backend/mat.h"

namespace vitrine::internal::cpu {

/// Zeroed memory, 64-byte aligned; from 2 MB on in huge pages where the system gives them. Throws
/// Error (user) naming the bytes wanted and had.
Buffer allocate_memory(size_t bytes);

/// What the machine, or the control group that the process runs in, could still give.
size_t available_memory();

/// Working memory that operations borrow, kept between calls. Any number of threads may borrow at
/// once.
class ScratchPool {
 public:
  /// Returns its memory to the pool at the end of its life. Contents are undefined.
  class Lease {
   public:
    Lease(ScratchPool& pool, Buffer buffer) : pool_(pool), buffer_(std::move(buffer)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.give_back(std::move(buffer_)); }
    float* f32() const { return buffer_.f32(); }

   private:
    ScratchPool& pool_;
    Buffer buffer_;
  };

  Lease borrow(size_t floats);
  /// How often memory was taken from the system so far.
  uint64_t allocations() const { return allocations_; }

 private:
  void give_back(Buffer buffer);

  std::atomic<uint64_t> allocations_ = 0;
  std::mutex mutex_;
  std::vector<Buffer> free_;
};

}  // namespace vitrine::internal::cpu
