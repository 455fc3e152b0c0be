#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/device_rates.h"
#include "bench/samples.h"
#include "vitrine/config.h"
#include "vitrine/dtype.h"

// `vitrine bench`: how long passes, generation and single operations take, next to the floor that the machine's own rates,
// measured in the same run, put under them. Every timed result is checked.

namespace vitrine::bench {

/// A model to measure: random weights of a shape, or a checkpoint.
struct Subject {
  std::string name;
  std::optional<Config> config = {};  ///< nothing: `name` is a checkpoint, as Model::load takes it
};

struct BenchOptions {
  std::vector<Subject> subjects;
  std::string device = "cpu";
  std::vector<DType> dtypes = {DType::kF32};
  int threads = 0;
  uint64_t seed = 1;
  std::vector<std::string> workloads;  ///< of workload_names()
  std::vector<std::string> hooks;      ///< of hook_set_names(), for forward and decode
  int repeat = 5;
  RateSizes rate_sizes = {};

  // What is empty or 0 becomes what suits the device and fits the model's context.
  std::vector<int> batches = {};         ///< of forward passes [cpu: 1; GPU: 1, 8]
  std::vector<int> decode_batches = {};  ///< [cpu: 1; GPU: 1, 8, 64]
  int64_t prompt = 0;                    ///< tokens of a forward pass [cpu: 128; GPU: 1024]
  int64_t decode_prompt = 0;             ///< tokens before the first decoded one [16]
  int64_t tokens = 0;                    ///< decoded in one measurement [cpu: 16; GPU: 64]
  std::vector<int64_t> rows = {};        ///< of linear operations [cpu: 1, 8, 64, 256; GPU: 1, 8, 64, 1024, 8192]
};

const std::vector<std::string>& workload_names();

/// One line of the table.
struct Row {
  std::string model, dtype, workload;
  std::string shape;  ///< "8 x 1024 tokens"
  std::string hooks;  ///< the set; empty for single operations
  Samples seconds;    ///< of one pass, one decoded step of the batch, one operation
  Samples recorded;   ///< of a decoded step once it is recorded, where steps are recorded
  double amount = 0;  ///< what that time did, in units: rate = amount / seconds
  std::string unit;   ///< "tok/s", "GFLOP/s", "GB/s"
  double floor = 0;   ///< seconds
  Samples ratio;      ///< of neighbouring measurements: see `against`
  std::string against;  ///< "none": time over time without hooks; "cuBLASLt": its time over ours
  double captured = 0;  ///< bytes that the hooks keep
  std::string note;

  double rate() const { return amount / seconds.median(); }
  double share() const { return floor / seconds.median(); }
  Json json() const;
};

/// Where results go as they come.
struct BenchSink {
  std::function<void(const DeviceRates&)> on_rates = {};
  std::function<void(const Row&)> on_row = {};
  std::function<void(const std::string&)> on_step = {};  ///< told what is measured next
  std::function<bool()> keep_going = {};                 ///< false ends the run; what is measured by then has been handed over
};

/// False if it was ended. Throws Error (user) for what does not fit the models; (internal) if a check fails: then no figure counts.
bool run_bench(const BenchOptions& options, const BenchSink& sink);

}  // namespace vitrine::bench
