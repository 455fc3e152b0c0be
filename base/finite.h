// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include "vitrine/dtype.h"

namespace vitrine::internal {

/// The index of the first NaN or infinity among `count` elements of dtype f32, f16 or bf16, at any
/// address. As fast as memory is read.
std::optional<int64_t> first_non_finite(const void* data, DType dtype, int64_t count);

/// How many of these elements are NaN or infinite. As fast, where there are none.
int64_t count_non_finite(const void* data, DType dtype, int64_t count);

/// The index of the first of these elements that `store` (f32, f16 or bf16) cannot hold: a NaN, an
/// infinity, or a number that rounds to an infinity there.
std::optional<int64_t> first_too_large(const void* data, DType dtype, int64_t count, DType store);

}  // namespace vitrine::internal
