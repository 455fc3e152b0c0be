// SPDX-License-Identifier: MIT
#pragma once

#include "vitrine/dtype.h"

namespace vitrine::testing {

/// The largest number of an element type.
inline float largest_finite(DType dtype) {
  return dtype == DType::kF16 ? 65504.0f : dtype == DType::kBF16 ? 0x1.fep127f : 0x1.fffffep127f;
}

}  // namespace vitrine::testing
