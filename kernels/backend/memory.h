// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "kernels/backend/mat.h"

namespace vitrine::internal {

/// Memory of a machine, copies, and their order.
class Memory {
 public:
  /// Throws Error (user) naming the bytes wanted and had.
  virtual Buffer allocate(size_t bytes) = 0;
  /// Bytes that allocate() could give now.
  virtual size_t available_bytes() const = 0;
  /// `host` may change as soon as the call returns.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  /// Waits for everything that was to happen before.
  virtual void download(void* host, const void* device, size_t bytes) = 0;
  /// As download(), but returns at once. `host` is of allocate_host(); what is returned waits until
  /// the bytes are there, and must be called before the memory is given back.
  virtual std::function<void()> download_later(void* host, const void* device, size_t bytes) {
    download(host, device, bytes);
    return [] {};
  }
  /// Within the backend's memory; the two do not overlap.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /// Fills with zero bytes.
  virtual void clear(void* device, size_t bytes) = 0;
  /// Waits until all issued operations have completed.
  virtual void synchronize() = 0;
  /// Whether the host may read and write buffers directly.
  virtual bool host_memory() const = 0;
  /// Host memory for downloaded results; fast to copy to.
  virtual Buffer allocate_host(size_t bytes) = 0;
  /// How often memory was taken from the system so far: by allocate(), by allocate_host(), and as
  /// working memory of operations. A pass after the first of its kind takes none.
  virtual uint64_t allocations() const = 0;
  /// Lock that callers hold from the first to the last operation of a pass: a device runs one pass
  /// at a time. It is recursive, so that a callback between two kernels may use the model.
  virtual std::unique_lock<std::recursive_mutex> exclusive() = 0;

 protected:
  ~Memory() = default;
};

}  // namespace vitrine::internal
