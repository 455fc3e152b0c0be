// SPDX-License-Identifier: MIT
#include "report/packed.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/check.h"

namespace vitrine::internal {
namespace {

static_assert(std::endian::native == std::endian::little, "pages hold little-endian arrays");

std::string base64(std::span<const unsigned char> bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? bytes[at + i] : 0u);
    for (size_t i = 0; i < 4; ++i) text += i <= count ? kDigits[bits >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

template <typename To, typename From>
JsonValue pack(const char* type, std::span<const From> values) {
  std::vector<To> converted(values.size());
  std::transform(values.begin(), values.end(), converted.begin(),
                 [](From value) { return static_cast<To>(value); });
  return {{"type", type},
          {"data", base64({reinterpret_cast<const unsigned char*>(converted.data()),
                           converted.size() * sizeof(To)})}};
}

template <typename From>
JsonValue pack_integers(std::span<const From> values) {
  const auto fits = [&](int64_t low, int64_t high) {
    return std::all_of(values.begin(), values.end(),
                       [&](From value) { return value >= low && value <= high; });
  };
  if (fits(0, std::numeric_limits<uint16_t>::max())) return pack<uint16_t>("u16", values);
  if (!fits(std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()))
    internal_error("integers of a page exceed 32 bits");
  return pack<int32_t>("i32", values);
}

}  // namespace

JsonValue packed(std::span<const double> values) { return pack<float>("f32", values); }
JsonValue packed(std::span<const float> values) { return pack<float>("f32", values); }
JsonValue packed(std::span<const int32_t> values) { return pack_integers(values); }
JsonValue packed(std::span<const int64_t> values) { return pack_integers(values); }

}  // namespace vitrine::internal
