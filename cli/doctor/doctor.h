// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/cpu_unit.h"
#include "base/default_threads.h"
#include "base/json_value.h"
#include "base/machine.h"
#include "base/neighbours.h"
#include "cli/core/build_facts.h"
#include "cli/core/terminal.h"
#include "cli/doctor/doctor_gpu.h"
#include "vitrine/checkpoint/model_cache.h"

namespace vitrine::cli {
using namespace internal;

/// Everything that `vitrine doctor` found out, before it judges.
struct Facts {
  Machine machine;
  /// Bytes requested in 2 MB pages, and bytes received in them.
  uint64_t huge_asked = 0, huge_had = 0;
  Gpus gpus;
  BuildFacts build;
  struct {
    std::string demo;  ///< its folder, or empty
    std::filesystem::path cache;
    std::optional<uint64_t> free;  ///< bytes on the cache's disk
    std::vector<CachedModel> cached;
  } models;
  CpuUnit unit;
  DefaultThreads threads;
  Neighbours neighbours;  ///< while this process slept
  /// OpenMP's environment variables that are set and have no effect.
  std::vector<std::string> without_effect;
  /// A pass of a small model on the CPU.
  struct Trial {
    int threads = 1;
    double seconds = 0;  ///< median of several, in turns with the other trials
  };
  std::vector<Trial> trials;   ///< the default number of threads first
  std::string device = "cpu";  ///< that was asked about
  std::string device_reason;   ///< why this GPU of several: "LOCAL_RANK is 1"; empty: no choice
  std::string description;     ///< as the backend describes itself after a model has run on it
  std::string failure;         ///< the line that it ended with instead
};

enum class Weight : uint8_t {
  kProblem,  ///< models do not run on the device that was asked about
  kAdvice,   ///< costs speed or memory
  kNote,     ///< good to know
};

struct Finding {
  Weight weight;
  std::string what;
  std::string command = {};  ///< to be typed as it stands; empty if there is nothing to type
};

/// "problem", "advice", "note"
const char* weight_name(Weight weight);

/// What is to be changed, the heaviest first. A function of the facts alone.
std::vector<Finding> findings(const Facts& facts);

/// How many threads make sense here: the default, unless fewer were clearly faster in a trial.
int sensible_threads(const Facts& facts);

/// "1.5 GB"
std::string bytes_text(uint64_t bytes);
JsonValue doctor_json(const Facts& facts, const std::vector<Finding>& found);
std::string doctor_text(const Terminal& out, const Facts& facts, const std::vector<Finding>& found);

}  // namespace vitrine::cli
