// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cpu/linear_kernels.h"

namespace vitrine::internal::cpu {

/// As linear_blocking(), of a sum over the weight's outputs.
LinearBlocking linear_backward_blocking(int64_t rows, int64_t out);

/// As linear_block(), of the gradient: panels are of the weight's inputs.
void linear_backward_block(const LinearBackwardArgs& args, const LinearBlocking& blocking,
                           const float* packed_dy, const LinearBlock& block, float* scratch);

}  // namespace vitrine::internal::cpu
