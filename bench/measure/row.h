// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "bench/measure/samples.h"

namespace vitrine::bench {
using namespace internal;

/// One line of the table. Model, dtype, device, threads, workload, shape and hooks say what was
/// measured: they are the key by which rows of two runs, or of another program, are matched
/// (bench/measure/records.h).
struct Row {
  std::string model;   ///< a size, a checkpoint's name
  std::string dtype;   ///< of the weights; empty where none are read
  std::string device;  ///< "cpu" or "cuda:N"
  int threads = 0;     ///< of the CPU; 0 on a GPU
  std::string workload;
  std::string shape;     ///< "8 x 1024 tokens"
  std::string hooks;     ///< the set; empty for single operations
  Samples seconds;       ///< of one pass, one decoded step of the batch, one operation
  Samples recorded;      ///< of a decoded step once it is recorded, where steps are recorded
  double amount = 0;     ///< what that time did, in units: rate = amount / seconds
  std::string unit;      ///< "tok/s", "GFLOP/s", "GB/s"
  double floor = 0;      ///< seconds
  Samples ratio;         ///< of neighbouring measurements: see `against`
  std::string against;   ///< "none": time over time without hooks; "cuBLASLt": its time over ours
  Samples loaded;        ///< seconds beside busy processes, one on each processor
  Samples loaded_ratio;  ///< of those over the quiet time measured just before
  double captured = 0;   ///< bytes that the hooks keep
  uint64_t peak_bytes =
      0;  ///< the most host memory that was in use since this workload of this model began
  uint64_t device_bytes =
      0;  ///< of a GPU's memory, in use for this model when the row was done; 0 on a CPU
  std::string note;

  double rate() const { return amount / seconds.median(); }
  double share() const { return floor / seconds.median(); }
  Json json() const;
};

/// {"median", "min", "max", "count", "samples"}; null if there are none.
Json samples_json(const Samples& samples);

}  // namespace vitrine::bench
