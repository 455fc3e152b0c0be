// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/measure/busy_load.h"
#include "vitrine/model.h"

namespace vitrine::bench {
using namespace internal;

/// Thrown between two measurements when the run is to end.
struct Stopped {};

/// What the workloads share: one model and the machine under it.
struct Bench {
  const BenchOptions& options;  ///< with nothing left open; of this device alone
  std::function<void(Row)> on_row;
  const DeviceRates& rates;
  const Model& model;
  std::string name;    ///< the model's, in the table
  std::string device;  ///< "cpu" or "cuda:N"
  bool random;         ///< weights are of a seed; else `name` is a checkpoint
  std::function<void(const std::string&)> on_step;
  /// Null: there is none. Runs while a case checks its results, until measure_once() stops it.
  BusyLoad* load = nullptr;

  /// Before each measurement. Throws Stopped.
  void step(const std::string& what) const;
  Rates best() const { return rates.best(model.dtype()); }
  Row row(const std::string& workload, const std::string& shape) const;
};

/// A single operation's floor, and its rate in what holds it: bytes or operations.
void set_floor(Row& row, const Work& work, const Rates& rates, bool gpu);

/// One measurement, or several in turns, and how often it calls Bench::step() if everything fits in
/// memory: once for each check and `repeat` times for each turn.
struct Case {
  size_t checks = 1, turns = 1;
  std::function<void(const Bench&)> measure;
};
using Cases = std::vector<Case>;

// What each workload measures of one model, in order.
Cases forward_cases(const BenchOptions& options);
Cases prefill_cases(const BenchOptions& options);
Cases decode_cases(const BenchOptions& options);
Cases generate_cases(const BenchOptions& options);
Cases linear_cases(const BenchOptions& options);
Cases attention_cases(const BenchOptions& options);
Cases saliency_cases(const BenchOptions& options);
Cases patching_cases(const BenchOptions& options);
Cases score_cases(const BenchOptions& options);
Cases lens_cases(const BenchOptions& options);
Cases capture_cases(const BenchOptions& options);
Cases tokenizer_cases(const BenchOptions& options);
Cases load_cases(const BenchOptions& options);

}  // namespace vitrine::bench
