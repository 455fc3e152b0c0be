// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend/forward.h"

namespace vitrine::internal::cpu {

/// What follows the sums of a product: scale, bias, activation, residual, for the first `rows` rows
/// and `panels` panels. Rows of sums lie `sums_stride` apart; `args.out` may be the sums.
void linear_finish(const LinearArgs& args, int64_t rows, int64_t panels, const float* sums,
                   int64_t sums_stride);

}  // namespace vitrine::internal::cpu
