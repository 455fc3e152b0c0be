#include "base/check.h"
#include "kernels/cpu/cpu_backend.h"

// Each goes when its kernel comes.

namespace vitrine {

void CpuBackend::linear_backward(const LinearBackwardArgs&) { internal_error("linear_backward is not written yet"); }
void CpuBackend::activate_backward(Mat, Mat, Activation, Mat) { internal_error("activate_backward is not written yet"); }
void CpuBackend::layernorm_backward(const LayerNormBackwardArgs&) { internal_error("layernorm_backward is not written yet"); }
void CpuBackend::layernorm_backward_scale(const LayerNormBackwardArgs&) { internal_error("layernorm_backward_scale is not written yet"); }
void CpuBackend::layernorm_backward_apply(const LayerNormBackwardArgs&) { internal_error("layernorm_backward_apply is not written yet"); }
void CpuBackend::attention_backward(const AttentionBackwardArgs&) { internal_error("attention_backward is not written yet"); }
void CpuBackend::attention_backward_pattern(const AttentionBackwardArgs&) { internal_error("attention_backward_pattern is not written yet"); }
void CpuBackend::attention_backward_scores(const AttentionBackwardArgs&) { internal_error("attention_backward_scores is not written yet"); }
void CpuBackend::attention_backward_inputs(const AttentionBackwardArgs&) { internal_error("attention_backward_inputs is not written yet"); }
void CpuBackend::logit_targets(const LogitTargetArgs&) { internal_error("logit_targets is not written yet"); }
void CpuBackend::convert(Mat, Mat) { internal_error("convert is not written yet"); }
void CpuBackend::copy(void*, const void*, size_t) { internal_error("copy is not written yet"); }
void CpuBackend::clear(void*, size_t) { internal_error("clear is not written yet"); }

}  // namespace vitrine
