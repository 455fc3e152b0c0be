// SPDX-License-Identifier: MIT
#include "engine/device_name.h"

#include <charconv>
#include <string_view>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {

std::optional<int> gpu_index(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  constexpr std::string_view kNumbered = "cuda:";
  int index = 0;
  const char* end = device.data() + device.size();
  if (device.starts_with(kNumbered) && device.size() > kNumbered.size()) {
    const auto [stop, error] = std::from_chars(device.data() + kNumbered.size(), end, index);
    if (error == std::errc() && stop == end && index >= 0) return index;
  }
  user_error("unknown device {}: expected cpu, cuda, or cuda:N for the N-th GPU", quote(device));
}

}  // namespace vitrine::internal
