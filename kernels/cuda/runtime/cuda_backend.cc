// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/cuda_backend.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <new>
#include <utility>

#include "base/check.h"
#include "kernels/cuda/runtime/check.h"
#include "kernels/cuda/runtime/switches.h"

namespace vitrine::internal {
namespace cuda {

void fail(const std::string& what) { internal_error("{}", what); }

}  // namespace cuda

namespace {

/// CUDA does not work in a child of a process that has used it.
void refuse_after_fork() {
  static const pid_t first = getpid();
  if (getpid() != first)
    user_error(
        "a GPU cannot be used in a child made by fork() after its parent has used one: use the "
        "start method spawn, or load no model on a GPU before the fork");
}

}  // namespace

CudaBackend::CudaBackend(std::shared_ptr<cuda::Device> device, const CudaOptions& options)
    : device_(std::move(device)),
      gemm_(options.gemm),
      cublas_(gemm_ == Gemm::kCublas ? cuda::Cublas::open(*device_) : nullptr) {
  refuse_after_fork();
  counters_ = allocate(kCounters * sizeof(uint32_t));
  device_->clear(counters_.data(), counters_.bytes());
}

std::string CudaBackend::description() const {
  const int capability = device_->capability();
  return fmt::format("cuda ({}, sm_{}, {} processors)", device_->name(), capability,
                     device_->processors());
}

Buffer CudaBackend::allocate(size_t bytes) {
  device_->make_current();
  void* data = device_->allocate(bytes);
  if (data == nullptr)
    internal_error(
        "out of GPU memory: {} bytes requested, {} available; use a smaller batch, or f16 or bf16 "
        "weights (`dtype`)",
        bytes, available_bytes());
  ++allocated_;
  // Buffers may outlive the backend; the device lives as long as any of them.
  return {data, bytes, std::shared_ptr<void>(data, [device = device_](void* memory) {
            device->release(memory);
          })};
}

void CudaBackend::upload(void* device, const void* host, size_t bytes) {
  device_->make_current();
  if (bytes > 0) device_->copy_in(device, host, bytes);
}

void CudaBackend::download(void* host, const void* device, size_t bytes) {
  device_->make_current();
  if (bytes > device_->most_pinned())
    download_staged(static_cast<std::byte*>(host), static_cast<const std::byte*>(device), bytes);
  else if (bytes > 0)
    device_->copy_out(host, device, bytes);
}

void CudaBackend::download_staged(std::byte* host, const std::byte* device, size_t bytes) {
  const size_t part = device_->most_pinned() / 16;
  std::function<void()> arrival[2];
  size_t sent = 0, done = 0;
  const auto send = [&] {
    const size_t which = sent / part % 2, size = std::min(part, bytes - sent);
    if (!stages_[which]) stages_[which] = allocate_host(part);
    arrival[which] = device_->copy_out_later(stages_[which].data(), device + sent, size);
    sent += size;
  };
  send();
  while (done < bytes) {
    if (sent < bytes) send();
    const size_t which = done / part % 2, size = std::min(part, bytes - done);
    arrival[which]();
    std::copy_n(stages_[which].data(), size, host + done);
    done += size;
  }
}

std::function<void()> CudaBackend::download_later(void* host, const void* device, size_t bytes) {
  device_->make_current();
  return device_->copy_out_later(host, device, bytes);
}

void CudaBackend::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) device_->copy_within(to, from, bytes);
}

void CudaBackend::clear(void* device, size_t bytes) {
  if (bytes > 0) device_->clear(device, bytes);
}

void CudaBackend::synchronize() { device_->synchronize(); }

Buffer CudaBackend::allocate_host(size_t bytes) {
  ++allocated_;
  if (bytes > device_->most_pinned()) {
    constexpr std::align_val_t kLine{64};
    void* ordinary = ::operator new(bytes, kLine, std::nothrow);
    if (ordinary != nullptr) {
      return {ordinary, bytes, std::shared_ptr<void>(ordinary, [](void* memory) {
                ::operator delete(memory, kLine);
              })};
    }
  }
  void* data = device_->allocate_host(bytes);
  if (data == nullptr)
    internal_error(
        "out of host memory for {} bytes of results; capture less, or request fewer logits", bytes);
  return {data, bytes, std::shared_ptr<void>(data, [device = device_](void* memory) {
            device->release_host(memory);
          })};
}

std::unique_lock<std::recursive_mutex> CudaBackend::exclusive() {
  refuse_after_fork();
  std::unique_lock lock(mutex_);
  device_->make_current();
  return lock;
}

std::byte* CudaBackend::reserve(Buffer& buffer, size_t bytes) {
  if (buffer.bytes() < bytes) {
    if (device_->recording()) outgrown_.push_back(buffer);
    buffer = {};
    buffer = allocate(std::max(bytes, size_t{1} << 20));
  }
  return buffer.data();
}

namespace {

class CudaRecording : public Recording {
 public:
  CudaRecording(std::unique_ptr<cuda::RecordedWork> work, std::vector<Buffer> scratch)
      : scratch_(std::move(scratch)), work_(std::move(work)) {}
  void replay() override { work_->replay(); }

 private:
  std::vector<Buffer> scratch_;
  std::unique_ptr<cuda::RecordedWork> work_;  // goes first
};

}  // namespace

bool CudaBackend::records() const { return cuda::switches().graphs; }

void CudaBackend::begin_recording() { device_->begin_recording(); }

std::unique_ptr<Recording> CudaBackend::end_recording() {
  std::vector<Buffer> scratch = std::exchange(outgrown_, {});
  scratch.push_back(scratch_);
  scratch.push_back(narrowed_);
  return std::make_unique<CudaRecording>(device_->end_recording(), std::move(scratch));
}

void CudaBackend::abandon_recording() noexcept {
  device_->abandon_recording();
  outgrown_.clear();
}

std::unique_ptr<Backend> make_cuda_backend(std::shared_ptr<cuda::Device> device,
                                           const CudaOptions& options) {
  return std::make_unique<CudaBackend>(std::move(device), options);
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  return make_cuda_backend(cuda::Device::open(options.device), options);
}

}  // namespace vitrine::internal
