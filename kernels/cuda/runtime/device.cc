// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/device.h"

#include <cuda_runtime.h>

#include "base/check.h"
#include "kernels/cuda/runtime/status.h"
#include "kernels/cuda/runtime/switches.h"
#include "kernels/cuda/runtime/wait.h"

// A package of its own in a CUDA toolkit, which a minimal installation lacks.
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define VITRINE_HAS_NVTX 1
#endif

// Implementation of device.h with the CUDA runtime.

namespace vitrine::internal::cuda {

void check_cuda(cudaError_t status, std::string_view what, std::string_view of) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report it again
  internal_error("CUDA failed at {}{}{}: {} ({})", what, of.empty() ? "" : " ", of,
                 cudaGetErrorString(status), cudaGetErrorName(status));
}

namespace {

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

class CudaGraph : public RecordedWork {
 public:
  CudaGraph(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(status, "preparing a recorded pass");
  }
  ~CudaGraph() override { cudaGraphExecDestroy(executable_); }
  void replay() override {
    check_cuda(cudaGraphLaunch(executable_, stream_), "replaying a recorded pass");
  }

 private:
  cudaGraphExec_t executable_ = nullptr;
  cudaStream_t stream_;
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int index) : index_(index) {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, index), "reading a GPU's properties");
    name_ = properties.name;
    capability_ = 10 * properties.major + properties.minor;
    processors_ = properties.multiProcessorCount;
    shared_per_block_ = properties.sharedMemPerBlockOptin;
    if (capability_ < 80) {
      user_error(
          "GPU {} ({}) has compute capability {}.{}: expected 8.0 or later; use `device` cpu",
          index, name_, properties.major, properties.minor);
    }
    int reads_host = 0;
    check_cuda(cudaDeviceGetAttribute(&reads_host, cudaDevAttrPageableMemoryAccess, index),
               "reading a GPU's properties");
    reads_host_memory_ = reads_host != 0;
    make_current();
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }
  // After a fault on the GPU every call fails; a destructor must not add its own error.
  ~CudaDevice() override {
    cudaSetDevice(index_);
    cudaStreamDestroy(stream_);
  }

  int index() const override { return index_; }
  std::string name() const override { return name_; }
  int capability() const override { return capability_; }
  int processors() const override { return processors_; }
  size_t shared_per_block() const override { return shared_per_block_; }
  size_t available_bytes() const override {
    size_t free = 0, total = 0;
    cudaSetDevice(index_);
    check_cuda(cudaMemGetInfo(&free, &total), "asking for free memory");
    return free;
  }

  void* allocate(size_t bytes) override {
    make_current();
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes == 0 ? 1 : bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check_cuda(status, "allocating memory");
    return memory;
  }
  void release(void* memory) noexcept override {
    cudaSetDevice(index_);
    cudaFree(memory);
  }

  void* allocate_host(size_t bytes) override {
    make_current();
    void* memory = nullptr;
    const cudaError_t status = cudaMallocHost(&memory, bytes == 0 ? 1 : bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check_cuda(status, "allocating pinned memory");
    return memory;
  }
  void release_host(void* memory) noexcept override {
    cudaSetDevice(index_);
    cudaFreeHost(memory);
  }

  void make_current() override { check_cuda(cudaSetDevice(index_), "choosing a GPU"); }
  void copy_in(void* to, const void* from, size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_),
               "copying to the GPU");
    if (!is_staged(from)) synchronize();
  }
  void copy_out(void* to, const void* from, size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_),
               "copying from the GPU");
    synchronize();
  }
  std::function<void()> copy_out_later(void* to, const void* from, size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_),
               "copying from the GPU");
    cudaEvent_t made = nullptr;
    check_cuda(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "making an event");
    const std::shared_ptr<CUevent_st> event(made, [](cudaEvent_t e) { cudaEventDestroy(e); });
    check_cuda(cudaEventRecord(made, stream_), "recording an event");
    return [event] { check_cuda(cudaEventSynchronize(event.get()), "running kernels"); };
  }
  void copy_within(void* to, const void* from, size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_),
               "copying on the GPU");
  }
  void clear(void* to, size_t bytes) override {
    check_cuda(cudaMemsetAsync(to, 0, bytes, stream_), "clearing memory");
  }
  void synchronize() override { check_cuda(cudaStreamSynchronize(stream_), "running kernels"); }

  void begin_recording() override {
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed),
               "beginning to record a pass");
    recording_ = true;
  }
  std::unique_ptr<RecordedWork> end_recording() override {
    recording_ = false;
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(stream_, &graph), "recording a pass");
    return std::make_unique<CudaGraph>(graph, stream_);
  }
  void abandon_recording() noexcept override {
    recording_ = false;
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream_, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
  }
  bool recording() const override { return recording_; }
#ifdef VITRINE_HAS_NVTX
  void push_range(const char* name, double, double) override { nvtxRangePushA(name); }
  void pop_range() override { nvtxRangePop(); }
#endif
  void* stream() const override { return stream_; }

 private:
  /// Whether the driver copies from this memory into its own before cudaMemcpyAsync returns: it
  /// does for memory that is not pinned, unless the GPU can read that itself.
  bool is_staged(const void* from) const {
    cudaPointerAttributes attributes{};
    const cudaError_t status = cudaPointerGetAttributes(&attributes, from);
    cudaGetLastError();
    return status == cudaSuccess && attributes.type == cudaMemoryTypeUnregistered &&
           !reads_host_memory_;
  }

  int index_;
  std::string name_;
  bool reads_host_memory_ = false;
  int capability_ = 0, processors_ = 0;
  size_t shared_per_block_ = 0;
  cudaStream_t stream_ = nullptr;
  bool recording_ = false;
};

}  // namespace

bool wait_for_gpu(int index) noexcept {
  const bool done = cudaSetDevice(index) == cudaSuccess && cudaDeviceSynchronize() == cudaSuccess;
  if (!done) cudaGetLastError();
  return done;
}

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver > 0)
      user_error(
          "the NVIDIA driver supports CUDA {}: expected {} or later for this build; update the "
          "driver, or use `device` cpu",
          version_text(driver), version_text(runtime));
  } else if (status != cudaErrorNoDevice) {
    // GPUs that are there but do not answer, such as after a fault, are not absent ones.
    user_error(
        "the NVIDIA driver does not answer: {} ({}); check `nvidia-smi`, or use `device` cpu",
        cudaGetErrorString(status), cudaGetErrorName(status));
  }
  return 0;
}

std::shared_ptr<Device> Device::open(int index) {
  const int count = device_count();
  if (count == 0)
    user_error("missing NVIDIA GPU or driver: check `nvidia-smi`, or use `device` cpu");
  if (index < 0 || index >= count)
    user_error("unknown GPU {}: this machine has {}, numbered from 0", index, count);
  switches();  // an invalid one is refused here, not in the middle of a pass
  return std::make_shared<CudaDevice>(index);
}

}  // namespace vitrine::internal::cuda
