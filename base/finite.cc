// SPDX-License-Identifier: MIT
#include "base/finite.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/check.h"

namespace vitrine::internal {
namespace {

/// The first element of which the size, the bits without the sign, is at least `limit`. In all
/// three formats larger sizes are larger numbers, then infinity, then NaN.
template <typename Bits>
std::optional<int64_t> scan(const void* elements, int64_t count, Bits limit) {
  constexpr Bits kSize = static_cast<Bits>(~Bits{0}) >> 1;
  const auto* data = static_cast<const std::byte*>(elements);
  const auto size_at = [data](int64_t i) {
    Bits bits;  // at any address, which costs nothing
    std::memcpy(&bits, data + i * static_cast<int64_t>(sizeof bits), sizeof bits);
    return bits & kSize;
  };
  constexpr int64_t kBlock = 4096;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    unsigned bad = 0;  // no early exit inside a block, so that the compiler can use vectors
    for (int64_t i = begin; i < end; ++i) bad |= size_at(i) >= limit;
    if (bad == 0) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (size_at(i) >= limit) return i;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> first_non_finite(const void* data, DType dtype, int64_t count) {
  return first_too_large(data, dtype, count, dtype);
}

int64_t count_non_finite(const void* data, DType dtype, int64_t count) {
  const auto* bytes = static_cast<const std::byte*>(data);
  const auto size = static_cast<int64_t>(dtype_size(dtype));
  int64_t found = 0;
  for (int64_t at = 0; at < count;) {
    const auto next = first_non_finite(bytes + at * size, dtype, count - at);
    if (!next) break;
    ++found;
    at += *next + 1;
  }
  return found;
}

std::optional<int64_t> first_too_large(const void* data, DType dtype, int64_t count, DType store) {
  // What rounds to infinity: 65520 and above in f16; halfway between the largest number and what
  // would follow it, and above, in bf16.
  switch (dtype) {
    case DType::kF32:
      return scan<uint32_t>(data, count,
                            store == DType::kF16    ? 0x477ff000u
                            : store == DType::kBF16 ? 0x7f7f8000u
                                                    : 0x7f800000u);
    case DType::kF16:
      return scan<uint16_t>(data, count, 0x7c00u);
    case DType::kBF16:
      return scan<uint16_t>(data, count, store == DType::kF16 ? 0x4780u : 0x7f80u);
    default:
      internal_error("cannot scan dtype {} for NaN", dtype_name(dtype));
  }
}

}  // namespace vitrine::internal
