// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure/device_rates.h"
#include "bench/measure/row.h"
#include "vitrine/config.h"
#include "vitrine/dtype.h"

// `vitrine bench`: how long passes, generation and single operations take, next to the floor that
// the machine's own rates, measured in the same run, put under them. Every timed result is checked.

namespace vitrine::bench {
using namespace internal;

/// A model to measure: random weights of a shape, or a checkpoint.
struct Subject {
  std::string name;
  std::optional<Config> config = {};  ///< nothing: `name` is a checkpoint, as Model::load takes it
};

struct BenchOptions {
  std::vector<Subject> subjects;
  std::vector<std::string> devices = {"cpu"};
  std::vector<DType> dtypes = {};  ///< empty: f32 on a CPU, bf16 on a GPU
  std::vector<int> threads = {0};  ///< of a CPU; 0: as many as the process may run on
  uint64_t seed = 1;
  std::vector<std::string> workloads;  ///< of workload_names()
  std::vector<std::string> hooks;      ///< of hook_set_names(), for forward, prefill and decode
  int repeat = 5;
  bool beside_load = false;  ///< everything also beside a busy process on each processor
  RateSizes rate_sizes = {};
  std::string scratch;  ///< folder for what capture and load write, and take away again; empty: the
                        ///< system's temporary one
  std::string text;     ///< file that the tokenizer is measured on; empty: words of its vocabulary

  // What is empty becomes what suits the device and fits the model's context.
  std::vector<int> batches = {};             ///< of forward passes [cpu: 1; GPU: 1, 8]
  std::vector<int> decode_batches = {};      ///< [cpu: 1; GPU: 1, 8, 64]
  std::vector<int64_t> prompts = {};         ///< tokens of a forward pass [cpu: 128; GPU: 1024]
  std::vector<int64_t> decode_prompts = {};  ///< tokens before the first decoded one [16]
  std::vector<int64_t> tokens = {};          ///< decoded in one measurement [cpu: 16; GPU: 64]
  std::vector<int64_t> rows =
      {};  ///< of linear operations [cpu: 1, 8, 64, 256; GPU: 1, 8, 64, 1024, 8192]
};

const std::vector<std::string>& workload_names();

/// Where results go as they come.
struct BenchSink {
  std::function<void(const Samples& bytes_per_second)> on_disk =
      {};  ///< of writing, in BenchOptions::scratch; before on_rates, where a workload writes
  std::function<void(const DeviceRates&)> on_rates =
      {};  ///< of each device, with each number of threads
  std::function<void(const Row&)> on_row = {};
  /// Told LoadReport::warning of each model, each time it is loaded.
  std::function<void(const std::string&)> on_warning = {};
  /// Told what is measured next, and that `done` of `total` measurements are over.
  std::function<void(const std::string& what, uint64_t done, uint64_t total)> on_step = {};
  std::function<bool()> keep_going =
      {};  ///< false ends the run; what is measured by then has been handed over
};

/// False if it was ended. Throws Error (user) for what does not fit the models; (internal) if a
/// check fails: then no figure counts.
bool run_bench(const BenchOptions& options, const BenchSink& sink);

}  // namespace vitrine::bench
