// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "base/json_value.h"

namespace vitrine::internal {

// Arrays of numbers in a page: {"type": "f32", "data": base64 of the little-endian bytes}. A third
// of the characters that decimal digits take, of a size that does not depend on the values, and
// read by the browser in one go.

/// "f32": seven digits. NaN and infinities stay what they are.
JsonValue packed(std::span<const double> values);
JsonValue packed(std::span<const float> values);
/// "u16" where all fit, else "i32".
JsonValue packed(std::span<const int32_t> values);
JsonValue packed(std::span<const int64_t> values);

}  // namespace vitrine::internal
