#include "kernels/cuda/cuda_backend.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/fail.h"

namespace vitrine {
namespace cuda {

void fail(const std::string& what) { internal_error("{}", what); }

}  // namespace cuda

CudaBackend::CudaBackend(std::shared_ptr<cuda::Device> device, const CudaOptions&) : device_(std::move(device)) {}

std::string CudaBackend::description() const {
  const int capability = device_->capability();
  return fmt::format("cuda ({}, sm_{}, {} processors)", device_->name(), capability, device_->processors());
}

Buffer CudaBackend::allocate(size_t bytes) {
  device_->make_current();
  void* data = device_->allocate(bytes);
  if (data == nullptr) user_error("{} bytes of GPU memory were asked for, {} are free; use a smaller batch, or f16 or bf16 weights", bytes, available_bytes());
  // Buffers may outlive the backend; the device lives as long as any of them.
  return {data, bytes, std::shared_ptr<void>(data, [device = device_](void* memory) { device->release(memory); })};
}

void CudaBackend::upload(void* device, const void* host, size_t bytes) {
  device_->make_current();
  if (bytes > 0) device_->copy_in(device, host, bytes);
}

void CudaBackend::download(void* host, const void* device, size_t bytes) {
  device_->make_current();
  if (bytes > 0) device_->copy_out(host, device, bytes);
}

void CudaBackend::synchronize() { device_->synchronize(); }

std::unique_lock<std::mutex> CudaBackend::exclusive() {
  std::unique_lock lock(mutex_);
  device_->make_current();
  return lock;
}

std::byte* CudaBackend::scratch(size_t bytes) {
  if (scratch_.bytes() < bytes) {
    if (device_->recording()) internal_error("an operation asks for more scratch memory while it is recorded");
    scratch_ = {};
    scratch_ = allocate(std::max(bytes, size_t{1} << 20));
  }
  return scratch_.data();
}

std::unique_ptr<Backend> make_cuda_backend(std::shared_ptr<cuda::Device> device, const CudaOptions& options) {
  return std::make_unique<CudaBackend>(std::move(device), options);
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) { return make_cuda_backend(cuda::Device::open(options.device), options); }

}  // namespace vitrine
