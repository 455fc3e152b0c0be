// SPDX-License-Identifier: MIT
#include "base/finite.h"

#include <algorithm>

#include "base/check.h"

namespace vitrine::internal {
namespace {

// In all three formats a number is not finite exactly when its exponent bits are all ones.
template <typename Bits, Bits kExponent>
std::optional<int64_t> scan(const Bits* data, int64_t count) {
  constexpr int64_t kBlock = 4096;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    unsigned bad = 0;  // no early exit inside a block, so that the compiler can use vectors
    for (int64_t i = begin; i < end; ++i) bad |= (data[i] & kExponent) == kExponent;
    if (bad == 0) continue;
    for (int64_t i = begin; i < end; ++i) {
      if ((data[i] & kExponent) == kExponent) return i;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> first_non_finite(const void* data, DType dtype, int64_t count) {
  switch (dtype) {
    case DType::kF32:
      return scan<uint32_t, 0x7f800000u>(static_cast<const uint32_t*>(data), count);
    case DType::kF16:
      return scan<uint16_t, 0x7c00u>(static_cast<const uint16_t*>(data), count);
    case DType::kBF16:
      return scan<uint16_t, 0x7f80u>(static_cast<const uint16_t*>(data), count);
    default:
      internal_error("cannot scan dtype {} for NaN", dtype_name(dtype));
  }
}

}  // namespace vitrine::internal
