#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/element.h"

namespace vitrine {

void CudaBackend::sample(const SampleArgs&) { cuda::fail("not written yet"); }

}  // namespace vitrine
