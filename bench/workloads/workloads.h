// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

#include "bench/bench.h"
#include "vitrine/model.h"

namespace vitrine::bench {
using namespace internal;

/// Thrown between two measurements when the run is to end.
struct Stopped {};

/// What the workloads share: one model and the machine under it.
struct Bench {
  const BenchOptions& options;  ///< with nothing left open
  std::function<void(Row)> on_row;
  const DeviceRates& rates;
  const Model& model;
  std::string name;    ///< the model's, in the table
  std::string device;  ///< "cpu" or "cuda:N"
  bool random;         ///< weights are of a seed; else `name` is a checkpoint
  std::function<void(const std::string&)> on_step;

  /// Before each measurement. Throws Stopped.
  void step(const std::string& what) const;
  Rates best() const { return rates.best(model.dtype()); }
  Row row(const std::string& workload, const std::string& shape) const;
};

/// A single operation's floor, and its rate in what holds it: bytes or operations.
void set_floor(Row& row, const Work& work, const Rates& rates, bool gpu);

// Each measures and hands over its rows. NAME_steps: how often it calls step(), if everything fits
// in memory.
void bench_forward(const Bench& bench);
uint64_t forward_steps(const BenchOptions& options, bool gpu);
void bench_prefill(const Bench& bench);
uint64_t prefill_steps(const BenchOptions& options, bool gpu);
void bench_decode(const Bench& bench);
uint64_t decode_steps(const BenchOptions& options, bool gpu);
void bench_generate(const Bench& bench);
uint64_t generate_steps(const BenchOptions& options, bool gpu);
void bench_linear(const Bench& bench);
uint64_t linear_steps(const BenchOptions& options, bool gpu);
void bench_attention(const Bench& bench);
uint64_t attention_steps(const BenchOptions& options, bool gpu);
void bench_saliency(const Bench& bench);
uint64_t saliency_steps(const BenchOptions& options, bool gpu);
void bench_patching(const Bench& bench);
uint64_t patching_steps(const BenchOptions& options, bool gpu);
void bench_score(const Bench& bench);
uint64_t score_steps(const BenchOptions& options, bool gpu);
void bench_lens(const Bench& bench);
uint64_t lens_steps(const BenchOptions& options, bool gpu);
void bench_capture(const Bench& bench);
uint64_t capture_steps(const BenchOptions& options, bool gpu);
void bench_tokenizer(const Bench& bench);
uint64_t tokenizer_steps(const BenchOptions& options, bool gpu);
void bench_load(const Bench& bench);
uint64_t load_steps(const BenchOptions& options, bool gpu);

}  // namespace vitrine::bench
