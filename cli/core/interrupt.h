// SPDX-License-Identifier: MIT
#pragma once

namespace vitrine::cli {

/// While it lives, the first Ctrl-C (SIGINT, SIGTERM) is noted instead of ending the program, so
/// that work that writes files can stop and clean up; a second one ends it at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;
  /// Ends the program the way the signal would have. Does nothing if there was none.
  void obey() const;
};

}  // namespace vitrine::cli
