// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine {

/// Progress callback of long operations. Functions that may take long accept a `Progress*`; null
/// disables reporting. It is also the way to cancel one: an exception thrown by a member ends the
/// operation and passes through it. What the operation has begun to write is removed; complete
/// files of a resumable operation remain.
class Progress {
 public:
  virtual ~Progress() = default;
  /// Reports `done` of `total` units (0: unknown) of the work named by `label`. Called often, on
  /// the thread that called the operation.
  virtual void update(uint64_t done, uint64_t total, std::string_view label) = 0;
  /// Reports that a part of the work is complete and on the disk, such as a shard: `part` is its
  /// name. Called on the thread that called the operation.
  virtual void finished(std::string_view part) { (void)part; }
};

}  // namespace vitrine
