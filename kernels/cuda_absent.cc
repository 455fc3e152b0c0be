#include "base/check.h"
#include "kernels/backend.h"

namespace vitrine {

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions&) {
  user_error("this build has no CUDA; build it where the CUDA toolkit (nvcc) is found, with -DVITRINE_CUDA=ON, or use --device cpu");
}

}  // namespace vitrine
