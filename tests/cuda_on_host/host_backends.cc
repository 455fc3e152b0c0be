// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/cuda_backend.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

template <cuda_on_host::LaneOrder kOrder>
std::unique_ptr<Backend> make(int) {
  return make_cuda_backend(cuda_on_host::make_device(kOrder, cuda_on_host::usual_gpu()),
                           CudaOptions{});
}

template <cuda_on_host::LaneOrder kOrder>
std::unique_ptr<Backend> make_hopper(Gemm gemm) {
  return make_cuda_backend(cuda_on_host::make_device(kOrder, {.capability = 90}),
                           CudaOptions{.gemm = gemm});
}

}  // namespace

const std::vector<BackendCase>& backends() {
  static const std::vector<BackendCase> list = {
      {"cuda_on_host_ascending", make<cuda_on_host::LaneOrder::kAscending>, true},
      {"cuda_on_host_descending", make<cuda_on_host::LaneOrder::kDescending>, true},
  };
  return list;
}

const std::vector<GemmCase>& gemm_cases() {
  static const std::vector<GemmCase> list = {
      {"cuda_on_host_ascending", make_hopper<cuda_on_host::LaneOrder::kAscending>},
      {"cuda_on_host_descending", make_hopper<cuda_on_host::LaneOrder::kDescending>},
  };
  return list;
}

void forget_backend() {}

}  // namespace vitrine::testing
