// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace vitrine::internal {

/// A limit of processors' time.
struct Quota {
  double processors = 0;
  std::filesystem::path file;  ///< that holds it
  std::string unlimited;       ///< to be written there to lift it
};

/// What Linux says about the machine, and about what of it this process may use. What it does not
/// say is 0, empty or nothing.
struct Machine {
  // Processors. One is what the scheduler hands out: a core, or a hardware thread of one.
  std::string cpu;                ///< "AMD EPYC 7763 64-Core Processor"
  std::vector<std::string> simd;  ///< of the instruction sets that matter here, by the names of
                                  ///< /proc/cpuinfo: "avx2", "asimd"
  int processors = 0;             ///< online
  int cores = 0, sockets = 0;
  int numa_nodes = 0;            ///< that have processors
  int allowed = 0;               ///< processors of the process's affinity
  std::optional<Quota> quota;    ///< of the control groups
  std::string governor;          ///< of processor 0: "performance", "powersave", ...
  std::string frequency_driver;  ///< that serves it: "intel_pstate", "acpi-cpufreq", ...
  double load = 0;               ///< mean number of runnable tasks in the last minute

  // Memory, in bytes.
  uint64_t memory = 0, available = 0;  ///< available: with what files occupy and would give back
  uint64_t swap = 0, swap_used = 0;
  std::optional<uint64_t> memory_limit;  ///< of the control groups; the tightest of all
  uint64_t memory_used = 0;              ///< of that limit
  std::string huge_pages;                ///< transparent ones: "always", "madvise" or "never"

  std::optional<uint64_t> open_files;  ///< the soft limit; nothing: none

  /// What may still be allocated: the available memory, or what the control groups leave of it.
  uint64_t room() const;
};

/// Reads /proc and /sys below `root`. Never throws for what is missing or says something else than
/// expected: such things are common in containers.
Machine read_machine(const std::filesystem::path& root = "/");

/// Numbers of the processors of the calling thread's affinity; none if the system does not say.
std::vector<int> allowed_processors(const std::filesystem::path& root = "/");

/// The tightest limit of the process's own control group and all around it, of both versions of the
/// interface.
std::optional<Quota> processor_quota(const std::filesystem::path& root = "/");

/// Touches memory that was requested in 2 MB pages, as for weights, and counts how many of `bytes`
/// came in such pages. 0 if the system does not say.
uint64_t huge_pages_had(uint64_t bytes);

}  // namespace vitrine::internal
