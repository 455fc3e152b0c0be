// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine {

/// Progress callback of long operations. Functions that may take long accept a `Progress*`; null
/// disables reporting.
class Progress {
 public:
  virtual ~Progress() = default;
  /// Reports `done` of `total` units (0: unknown) of the work named by `label`. Called often, from
  /// one thread at a time. Must not throw.
  virtual void update(uint64_t done, uint64_t total, std::string_view label) = 0;
};

}  // namespace vitrine
