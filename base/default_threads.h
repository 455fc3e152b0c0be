// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace vitrine::internal {

/// How many threads a process uses unless it is told a number, and which limit decided.
struct DefaultThreads {
  /// What bounds the number.
  struct Limit {
    std::string name;   ///< "affinity", "quota" (of the control groups, rounded up), or that of an
                        ///< environment variable: "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"
    std::string value;  ///< as it was found: "8", "1.5", "4,2"
    int threads = 1;    ///< that it allows
  };

  int threads = 1;
  std::string decided_by;     ///< name of the limit that allows the fewest; of equals the first
  std::vector<Limit> limits;  ///< those there are, in the order above
  /// Environment variables that are set and say no number.
  struct Invalid {
    std::string name, message;  ///< message: on one line
  };
  std::vector<Invalid> invalid;

  /// The limit of this name; null if there is none.
  const Limit* find(const std::string& name) const;
};

using Environment = std::function<const char*(const char*)>;

/// The least of what the limits allow, from 1. Reads /proc and /sys below `root`, and the calling
/// thread's environment. An invalid variable counts as not set, and is reported.
DefaultThreads default_threads(const std::filesystem::path& root = "/",
                               const Environment& environment = std::getenv);

}  // namespace vitrine::internal
