// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace vitrine::internal::cuda_on_host {

/// ex2.approx.ftz, with the error that it may have: up to two units in the last place, as the
/// argument's last bits say; 0 below the normal numbers. Of zeros and subnormal numbers it is 1, as
/// PTX's description of the instruction says.
inline float power_of_two(float x) {
  if (x == 0.0f || std::fpclassify(x) == FP_SUBNORMAL) return 1.0f;
  const auto nearest = static_cast<float>(std::exp2(static_cast<double>(x)));
  if (!std::isnormal(nearest)) return std::isfinite(nearest) ? 0.0f : nearest;
  const uint32_t off = std::bit_cast<uint32_t>(x) % 5;
  const float power = std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) + off - 2);
  return std::isnormal(power) ? power : nearest;
}

}  // namespace vitrine::internal::cuda_on_host
