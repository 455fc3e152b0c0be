// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace vitrine::internal {

/// Bytes that are looked at together: a bit for each.
inline constexpr size_t kWordWindow = 64;

/// What the bytes of a window are, as far as ASCII goes.
struct WindowMasks {
  uint64_t letter = 0, number = 0, white = 0, space = 0, apostrophe = 0, beyond_ascii = 0;
};

/// Reads kWordWindow bytes; bit i describes window[i].
WindowMasks window_masks(const char* window);

}  // namespace vitrine::internal
