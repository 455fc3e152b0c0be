// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

// A GPU as the rest of the backend's host code sees it, without CUDA's own headers. device.cc
// implements it over the CUDA runtime; tests/cuda_on_host over ordinary memory.

namespace vitrine::internal::cuda {

/// Work that was recorded once and can be run again: a CUDA graph.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  virtual void replay() = 0;
};

/// How many GPUs there are; 0 if none, or no driver. Throws Error (user) if the driver is too old
/// for this build.
int device_count();

/// One GPU and one stream of work on it. Calls come from one thread at a time, but for allocate and
/// release.
class Device {
 public:
  /// Throws Error (user) for an unknown GPU, and for a compute capability below 8.0.
  static std::shared_ptr<Device> open(int index);
  virtual ~Device() = default;

  virtual int index() const = 0;                ///< as given to open()
  virtual std::string name() const = 0;         ///< "NVIDIA H200"
  virtual int capability() const = 0;           ///< 10 x major + minor: 90 for an H200
  virtual int processors() const = 0;           ///< streaming multiprocessors
  virtual size_t shared_per_block() const = 0;  ///< bytes that a block may have at most
  virtual size_t available_bytes() const = 0;

  /// 256-byte aligned. Null if memory is insufficient.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  /// Pinned host memory. Null if memory is insufficient.
  virtual void* allocate_host(size_t bytes) = 0;
  virtual void release_host(void* memory) noexcept = 0;
  /// Bytes of a result from which on it lies in ordinary host memory: pinning takes 0.5 s a GB.
  virtual size_t most_pinned() const { return size_t{256} << 20; }

  /// The calling thread's work goes to this GPU from now on.
  virtual void make_current() = 0;
  /// `from` may change as soon as the call returns.
  virtual void copy_in(void* to, const void* from, size_t bytes) = 0;
  /// Waits for all work before.
  virtual void copy_out(void* to, const void* from, size_t bytes) = 0;
  /// Into pinned memory, without waiting; what is returned waits.
  virtual std::function<void()> copy_out_later(void* to, const void* from, size_t bytes) = 0;
  virtual void copy_within(void* to, const void* from, size_t bytes) = 0;
  virtual void clear(void* to, size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// From here on work is not done but recorded. copy_in and copy_out cannot be recorded.
  virtual void begin_recording() = 0;
  virtual std::unique_ptr<RecordedWork> end_recording() = 0;
  /// Forgets what was recorded since begin_recording(), whether or not it can be run.
  virtual void abandon_recording() noexcept = 0;
  virtual bool recording() const = 0;

  /// A named range in NVIDIA's profilers, until pop_range().
  virtual void push_range(const char* /*name*/, double /*bytes*/, double /*flops*/) {}
  virtual void pop_range() {}

  /// A cudaStream_t.
  virtual void* stream() const = 0;
};

}  // namespace vitrine::internal::cuda
