// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine {

/// Where long work reports how far it is. Functions that may take long accept a `Progress*`; null:
/// nobody wants to know.
class Progress {
 public:
  virtual ~Progress() = default;
  /// `done` of `total` units (0: unknown) of the work that `label` names. Called often, from any
  /// one thread at a time, and not allowed to throw.
  virtual void update(uint64_t done, uint64_t total, std::string_view label) = 0;
};

}  // namespace vitrine
