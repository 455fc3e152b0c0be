// SPDX-License-Identifier: MIT
#include "cli/doctor/doctor_gpu.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <array>
#include <memory>

namespace vitrine::cli {
namespace {

/// A shared library, and functions in it by name. What is missing does nothing and answers with an
/// error.
class Library {
 public:
  explicit Library(const char* name) : handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL), &close) {}
  explicit operator bool() const { return handle_ != nullptr; }

  /// Calls int NAME(arguments): 0 is success in both of NVIDIA's libraries.
  template <typename... Args>
  int call(const char* name, Args... args) const {
    const auto function =
        reinterpret_cast<int (*)(Args...)>(handle_ ? dlsym(handle_.get(), name) : nullptr);
    return function ? function(args...) : -1;
  }

 private:
  static void close(void* handle) {
    if (handle) dlclose(handle);
  }
  std::unique_ptr<void, void (*)(void*)> handle_;
};

// Of cuda.h and nvml.h, whose interfaces do not change under a name.
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;
struct MemoryInfo {
  unsigned long long total, free, used;
};

std::string error_name(const Library& cuda, int error) {
  const char* name = nullptr;
  return cuda.call("cuGetErrorName", error, &name) == 0 && name ? name
                                                                : fmt::format("error {}", error);
}

Gpu read_gpu(const Library& cuda, int index) {
  Gpu gpu;
  int device = 0;
  if (cuda.call("cuDeviceGet", &device, index) != 0) return gpu;
  std::array<char, 256> text{};
  if (cuda.call("cuDeviceGetName", text.data(), static_cast<int>(text.size()) - 1, device) == 0)
    gpu.name = text.data();
  text = {};
  if (cuda.call("cuDeviceGetPCIBusId", text.data(), static_cast<int>(text.size()) - 1, device) == 0)
    gpu.bus = text.data();
  size_t bytes = 0;
  if (cuda.call("cuDeviceTotalMem_v2", &bytes, device) == 0) gpu.memory = bytes;
  cuda.call("cuDeviceGetAttribute", &gpu.major, kCapabilityMajor, device);
  cuda.call("cuDeviceGetAttribute", &gpu.minor, kCapabilityMinor, device);
  return gpu;
}

/// What the management library adds; it must have been initialised.
void add_management(const Library& nvml, Gpu& gpu) {
  void* device = nullptr;
  if (nvml.call("nvmlDeviceGetHandleByPciBusId_v2", gpu.bus.c_str(), &device) != 0) return;
  MemoryInfo memory{};
  if (nvml.call("nvmlDeviceGetMemoryInfo", device, &memory) == 0) gpu.used = memory.used;
  unsigned mode = 0, pending = 0;
  if (nvml.call("nvmlDeviceGetPersistenceMode", device, &mode) == 0) gpu.persistence = mode != 0;
  if (nvml.call("nvmlDeviceGetMigMode", device, &mode, &pending) == 0) gpu.mig = mode != 0;
}

void read_driver(const Library& cuda, Gpus& gpus) {
  if (!cuda) {
    gpus.absent =
        "missing libcuda.so.1: the NVIDIA driver is not installed, or this container was started "
        "without it";
    return;
  }
  cuda.call("cuDriverGetVersion", &gpus.cuda);
  int count = 0;
  if (const int error = cuda.call("cuInit", 0u); error != 0) {
    gpus.absent =
        fmt::format("the NVIDIA driver finds no GPU to use ({})", error_name(cuda, error));
    return;
  }
  if (cuda.call("cuDeviceGetCount", &count) != 0 || count <= 0) {
    gpus.absent = "the NVIDIA driver shows no GPU to this process";
    return;
  }
  for (int i = 0; i < count; ++i) gpus.found.push_back(read_gpu(cuda, i));
}

}  // namespace

Gpus find_gpus() {
  Gpus gpus;
  const Library nvml("libnvidia-ml.so.1");
  read_driver(Library("libcuda.so.1"), gpus);
  if (nvml.call("nvmlInit_v2") == 0) {
    std::array<char, 96> version{};
    if (nvml.call("nvmlSystemGetDriverVersion", version.data(),
                  static_cast<unsigned>(version.size()) - 1) == 0)
      gpus.driver = version.data();
    for (Gpu& gpu : gpus.found) add_management(nvml, gpu);
    nvml.call("nvmlShutdown");
  }
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
    if (gpus.cublas.empty() && Library(name)) gpus.cublas = name;
  }
  return gpus;
}

std::string cuda_version(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

}  // namespace vitrine::cli
