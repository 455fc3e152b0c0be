// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/backend/activation.h"
#include "kernels/backend/mat.h"

namespace vitrine::internal::cpu {

/// out[j] = act(x[j]) for n elements; in place if out is x.
void activate_row(const float* x, int64_t n, Activation activation, float* out);
/// dx[j] = dy[j] * act'(before[j]) for n elements; in place if dx is dy.
void activate_backward_row(const float* dy, const float* before, int64_t n, Activation activation,
                           float* dx);
/// out[j] = a[j] + b[j] for n elements; in place if out is a or b.
void add_row(const float* a, const float* b, int64_t n, float* out);

}  // namespace vitrine::internal::cpu
