#include "kernels/cuda/cuda_backend.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/kernels/harness.h"

namespace vitrine::testing {
namespace {

template <cuda_on_host::LaneOrder kOrder>
std::unique_ptr<Backend> make(int) {
  return make_cuda_backend(cuda_on_host::make_device(kOrder), CudaOptions{});
}

}  // namespace

const std::vector<BackendCase>& backends() {
  static const std::vector<BackendCase> list = {
      {"cuda_on_host_ascending", make<cuda_on_host::LaneOrder::kAscending>, true},
      {"cuda_on_host_descending", make<cuda_on_host::LaneOrder::kDescending>, true},
  };
  return list;
}

void forget_backend() {}

}  // namespace vitrine::testing
