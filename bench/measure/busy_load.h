// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <vector>

namespace vitrine::bench {

/// Busy neighbours: a process that calculates without end on each processor that this process may
/// run on. They end with this object, or with this process.
class BusyLoad {
 public:
  /// Starts them. Throws Error (internal) if the system starts no more processes.
  BusyLoad();
  BusyLoad(const BusyLoad&) = delete;
  BusyLoad& operator=(const BusyLoad&) = delete;
  ~BusyLoad();

  /// Returns once all of them have stopped.
  void stop();
  void go_on();
  const std::vector<pid_t>& processes() const { return processes_; }

 private:
  void end();

  bool running_ = true;
  std::vector<pid_t> processes_;
};

}  // namespace vitrine::bench
