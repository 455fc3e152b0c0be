// SPDX-License-Identifier: MIT
#include "kernels/backend.h"

#include "base/check.h"

namespace vitrine::internal {

PackedMatrix PackedMatrix::inputs(int64_t begin, int64_t count) const {
  PackedMatrix part = *this;
  part.data += begin * input_stride;
  part.in = count;
  return part;
}

Gemm gemm_from_name(std::string_view name) {
  if (name == "exact") return Gemm::kExact;
  if (name == "cublas") return Gemm::kCublas;
  user_error("unknown gemm '{}': expected exact or cublas", name);
}

int64_t Selection::width() const {
  int64_t total = 0;
  for (const Range& range : cols) total += range.count;
  return total;
}

}  // namespace vitrine::internal
