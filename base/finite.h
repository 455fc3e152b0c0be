// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include "vitrine/dtype.h"

namespace vitrine::internal {

/// The index of the first NaN or infinity among `count` elements of dtype f32, f16 or bf16, aligned
/// to its size. As fast as memory is read.
std::optional<int64_t> first_non_finite(const void* data, DType dtype, int64_t count);

}  // namespace vitrine::internal
