// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace vitrine::internal {

/// What occupied the processors that this process may run on, from the machine's start to a moment.
struct ProcessorTimes {
  /// Of one process, in the kernel's ticks.
  struct Process {
    std::string name;
    uint64_t ticks = 0;
  };
  /// Sums over the processors, in ticks. total: with those that were idle. stolen: by other
  /// machines of the same host.
  uint64_t busy = 0, stolen = 0, total = 0;
  int processors = 0;
  std::map<int, Process> processes;  ///< by number; this one left out
};

/// What other processes did to the processors between two moments.
struct Neighbours {
  struct Process {
    int number = 0;
    std::string name;
    double busy = 0;      ///< processors
    bool own = false;     ///< of the same user
    bool openmp = false;  ///< OpenMP is loaded, whose threads spin while they wait; false where it
                          ///< cannot be told
  };
  double busy = 0;                  ///< processors of this process that were busy, in processors
  double stolen = 0;                ///< processors that the host gave to other machines
  std::optional<Process> heaviest;  ///< nothing if none of them took a tenth of a processor
};

/// Reads /proc below `root`. What is missing counts as 0.
ProcessorTimes read_processor_times(const std::filesystem::path& root = "/");

/// What happened between the two. Reads about the heaviest process below `root`.
Neighbours neighbours_between(const ProcessorTimes& before, const ProcessorTimes& after,
                              const std::filesystem::path& root = "/");

/// Watches for `span`, asleep.
Neighbours watch_neighbours(std::chrono::milliseconds span);

}  // namespace vitrine::internal
