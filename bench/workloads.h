#pragma once

#include <string>

#include "bench/bench.h"
#include "vitrine/model.h"

namespace vitrine::bench {

/// Thrown between two measurements when the run is to end.
struct Stopped {};

/// What the workloads share: one model and the machine under it.
struct Bench {
  const BenchOptions& options;
  const BenchSink& sink;
  const DeviceRates& rates;
  const Model& model;
  std::string name;  ///< the model's, in the table

  /// Before each measurement. Throws Stopped.
  void step(const std::string& what) const;
  Rates best() const { return rates.best(model.dtype()); }
  Row row(const std::string& workload, const std::string& shape) const;
};

/// A single operation's floor, and its rate in what holds it: bytes or operations.
void set_floor(Row& row, const Work& work, const Rates& rates, bool gpu);

void bench_forward(const Bench& bench);
void bench_decode(const Bench& bench);
void bench_linear(const Bench& bench);
void bench_attention(const Bench& bench);
void bench_saliency(const Bench& bench);
void bench_patching(const Bench& bench);

}  // namespace vitrine::bench
