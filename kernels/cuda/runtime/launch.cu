// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "kernels/cuda/runtime/launch.h"
#include "kernels/cuda/runtime/status.h"
#include "kernels/cuda/runtime/switches.h"

namespace vitrine::internal::cuda {
namespace {

constexpr size_t kSharedWithoutLimit = 48 * 1024;  // a kernel may have it without being prepared

std::string kernel_name(const void* kernel) {
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) == cudaSuccess && name != nullptr) return name;
  cudaGetLastError();
  return "an unnamed kernel";
}

/// What is found out and set once for each kernel and GPU: the driver may wait for copies in flight
/// when an attribute is set.
struct Prepared {
  bool starts_early = false;  ///< its code has the wait, which needs code made for 9.0 or later
  size_t shared = kSharedWithoutLimit;
};

Prepared& prepared(const Device& device, const void* kernel) {
  static std::map<std::pair<int, const void*>, Prepared> all;
  const auto [at, added] = all.try_emplace({device.index(), kernel});
  // All kernels split an SM's memory alike: where two differ, the SM must be empty before the split
  // changes, and no kernel starts beside the previous one.
  if (added)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                    cudaSharedmemCarveoutMaxShared),
               "splitting the memory of", kernel_name(kernel));
  if (added && device.capability() >= 90 && switches().early_starts) {
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, kernel), "loading", kernel_name(kernel));
    at->second.starts_early = attributes.ptxVersion >= 90;
  }
  return at->second;
}

}  // namespace

void launch_kernel(Device& device, const LaunchShape& shape, const void* kernel, void** arguments) {
  bool starts_early = false;
  {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    Prepared& found = prepared(device, kernel);
    if (shape.shared > found.shared) {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shape.shared)),
                 "reserving shared memory for", kernel_name(kernel));
      found.shared = shape.shared;
    }
    starts_early = shape.may_start_early && found.starts_early;
  }
  cudaLaunchAttribute attributes[2]{};
  unsigned count = 0;
  if (starts_early) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {shape.cluster, 1, 1};
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared;
  config.stream = static_cast<cudaStream_t>(device.stream());
  config.attrs = attributes;
  config.numAttrs = count;
  const cudaError_t status = cudaLaunchKernelExC(&config, kernel, arguments);
  if (status != cudaSuccess) check_cuda(status, "launching", kernel_name(kernel));
}

}  // namespace vitrine::internal::cuda
