#include "base/check.h"
#include "kernels/cuda/cuda_backend.h"

// Each goes when its kernel comes.

namespace vitrine {

void CudaBackend::attention_backward(const AttentionBackwardArgs&) { internal_error("attention_backward is not written yet"); }
void CudaBackend::attention_backward_pattern(const AttentionBackwardArgs&) { internal_error("attention_backward_pattern is not written yet"); }
void CudaBackend::attention_backward_scores(const AttentionBackwardArgs&) { internal_error("attention_backward_scores is not written yet"); }
void CudaBackend::attention_backward_inputs(const AttentionBackwardArgs&) { internal_error("attention_backward_inputs is not written yet"); }

}  // namespace vitrine
