// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/runtime/device.h"
#include "kernels/cuda/runtime/wait.h"
#include "tests/cuda_on_host/block_runner.h"
#include "tests/cuda_on_host/launch_list.h"

// A "GPU" of ordinary memory. Every allocation is separate and has exactly the requested size,
// filled with NaNs, so that the address sanitizer and the tests see what is read or written where
// nothing belongs.

namespace vitrine::internal::cuda_on_host {
namespace {

/// VITRINE_LANE_ORDER=descending runs the lanes of every device backwards.
LaneOrder order_of_environment() {
  const char* order = std::getenv("VITRINE_LANE_ORDER");
  return order != nullptr && std::string_view(order) == "descending" ? LaneOrder::kDescending
                                                                     : LaneOrder::kAscending;
}

std::atomic<int64_t> run_so_far{0}, recorded_so_far{0};

int capability_of_environment() {
  const char* given = std::getenv("VITRINE_EMULATED_CAPABILITY");
  const std::string_view text = given != nullptr ? given : "80";
  if (text != "80" && text != "89" && text != "90")
    user_error("invalid VITRINE_EMULATED_CAPABILITY '{}': expected 80, 89 or 90", text);
  return text == "80" ? 80 : text == "89" ? 89 : 90;
}

class Recorded : public cuda::RecordedWork {
 public:
  explicit Recorded(std::vector<std::function<void()>> work) : work_(std::move(work)) {}
  void replay() override {
    for (const auto& item : work_) item();
  }

 private:
  std::vector<std::function<void()>> work_;
};

class HostDevice : public cuda::Device {
 public:
  HostDevice(LaneOrder order, Gpu gpu) : order_(order), gpu_(std::move(gpu)) {}

  int index() const override { return gpu_.index; }
  std::string name() const override { return "a GPU emulated on this CPU"; }
  int capability() const override { return gpu_.capability; }
  int processors() const override { return gpu_.processors; }
  size_t shared_per_block() const override {
    return gpu_.capability == 90 ? 227 * 1024 : gpu_.capability == 80 ? 163 * 1024 : 99 * 1024;
  }
  size_t available_bytes() const override { return size_t{lists() ? 128U : 8U} << 30; }

  void* allocate(size_t bytes) override {
    make_current();
    if (bytes > available_bytes()) return nullptr;
    if (lists()) return std::calloc(std::max<size_t>(bytes, 1), 1);
    void* memory = ::operator new(std::max<size_t>(bytes, 1), kAlignment);
    std::memset(memory, 0xff, bytes);
    return memory;
  }
  void release(void* memory) noexcept override {
    current_ = gpu_.index;
    if (lists()) return std::free(memory);
    ::operator delete(memory, kAlignment);
  }

  size_t most_pinned() const override { return gpu_.most_pinned; }
  void* allocate_host(size_t bytes) override { return allocate(bytes); }
  void release_host(void* memory) noexcept override { release(memory); }

  void make_current() override { current_ = gpu_.index; }
  void check_current() const {
    if (current_ != gpu_.index)
      internal_error("a kernel for GPU {} was launched while GPU {} was current", gpu_.index,
                     current_);
  }
  void copy_in(void* to, const void* from, size_t bytes) override {
    if (recording_) internal_error("a copy from the host cannot be recorded");
    if (lists()) return gpu_.list(bytes_line("upload", bytes));
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void copy_out(void* to, const void* from, size_t bytes) override {
    if (recording_) internal_error("a copy to the host cannot be recorded");
    if (lists()) return gpu_.list(bytes_line("download", bytes));
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  std::function<void()> copy_out_later(void* to, const void* from, size_t bytes) override {
    copy_out(to, from, bytes);
    return [] {};
  }
  void copy_within(void* to, const void* from, size_t bytes) override {
    if (lists()) return gpu_.list(bytes_line("copy", bytes));
    enqueue([=] {
      if (bytes > 0) std::memmove(to, from, bytes);
    });
  }
  void clear(void* to, size_t bytes) override {
    if (lists()) return gpu_.list(bytes_line("clear", bytes));
    enqueue([=] {
      if (bytes > 0) std::memset(to, 0, bytes);
    });
  }
  void synchronize() override {}

  void begin_recording() override {
    recording_ = true;
    work_.clear();
    if (lists()) gpu_.list("record");
  }
  std::unique_ptr<cuda::RecordedWork> end_recording() override {
    recording_ = false;
    ++recorded_so_far;
    if (lists()) {
      gpu_.list("recorded");
      work_ = {[list = gpu_.list] { list("replay"); }};
    }
    return std::make_unique<Recorded>(std::move(work_));
  }
  void abandon_recording() noexcept override {
    recording_ = false;
    work_.clear();
  }
  bool recording() const override { return recording_; }
  void* stream() const override { return nullptr; }

  void push_range(const char* name, double bytes, double flops) override {
    if (lists()) gpu_.list(range_line(name, bytes, flops));
  }
  void pop_range() override {
    if (lists()) gpu_.list("end");
  }

  void enqueue(std::function<void()> work) {
    if (recording_)
      work_.push_back(std::move(work));
    else
      work();
  }
  LaneOrder order() const { return order_; }
  bool lists() const { return gpu_.list != nullptr; }
  void list(const Shape& shape) const { gpu_.list(launch_line(shape)); }

 private:
  static constexpr std::align_val_t kAlignment{256};
  static inline thread_local int current_ = 0;
  LaneOrder order_;
  Gpu gpu_;
  bool recording_ = false;
  std::vector<std::function<void()>> work_;
};

}  // namespace

int64_t kernels_run() { return run_so_far; }
int64_t recordings_made() { return recorded_so_far; }

void launch(cuda::Device& device, const Shape& shape, std::function<void()> thread) {
  auto& host = dynamic_cast<HostDevice&>(device);
  host.check_current();
  if (shape.shared > host.shared_per_block())
    internal_error("a block asks for {} bytes of shared memory", shape.shared);
  if (host.lists()) return host.list(shape);
  // One block at a time, whichever thread it comes from.
  static std::mutex one_at_a_time;
  host.enqueue([shape, thread = std::move(thread), &host] {
    const std::lock_guard lock(one_at_a_time);
    ++run_so_far;
    run_blocks(shape, thread, host.order(), host.capability() >= 90 ? kHopper : kAmpere);
  });
}

std::shared_ptr<cuda::Device> make_device(LaneOrder order, Gpu gpu) {
  return std::make_shared<HostDevice>(order, std::move(gpu));
}

Gpu& usual_gpu() {
  static Gpu gpu{.capability = capability_of_environment()};
  return gpu;
}

}  // namespace vitrine::internal::cuda_on_host

namespace vitrine::internal::cuda {

int device_count() { return 1; }

bool wait_for_gpu(int) noexcept { return true; }

std::shared_ptr<Device> Device::open(int index) {
  if (index != 0) user_error("unknown GPU {}: this machine has 1", index);
  return cuda_on_host::make_device(cuda_on_host::order_of_environment(), cuda_on_host::usual_gpu());
}

}  // namespace vitrine::internal::cuda
