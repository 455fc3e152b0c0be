// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/measure/random_matrix.h"
#include "kernels/backend.h"
#include "vitrine/config.h"

// What the CPU's kernels reach, as shares of what this machine can do at all: its ceilings (reading
// of memory, fused multiply-adds) are measured by the same program, on as many threads. Every
// operation of Backend that a pass consists of has a benchmark; one file a kind.

namespace vitrine::bench {
using namespace internal;

/// The shape of GPT-2 that operations are measured at: that of --size.
const Config& shape();

/// The first argument of every benchmark: its threads.
inline const std::vector<int64_t> kThreads = {1, 2};
inline int threads_of(const benchmark::State& state) { return static_cast<int>(state.range(0)); }
std::unique_ptr<Backend> backend_of(const benchmark::State& state);

/// A float32 matrix of random numbers in [-1, 1).
RandomMatrix random_rows(Backend& backend, int64_t rows, int64_t cols);

/// A packed weight of such numbers.
struct RandomWeight {
  RandomWeight(Backend& backend, int64_t in, int64_t out, DType dtype);
  Buffer buffer;
  PackedMatrix packed;
};

/// `rows` new tokens of one sequence after `past` others.
struct OneSequence {
  OneSequence(int64_t rows, int64_t past)
      : slice{0, rows, past, 0, rows + past, 0}, batch{.sequences = {&slice, 1}} {}
  SequenceSlice slice;
  PassBatch batch;
};

/// Times each iteration by itself. The rates that are printed are those of the median: the mean, in
/// the first column, is at the mercy of whatever else the machine does.
class Laps {
 public:
  explicit Laps(benchmark::State& state) : state_(state) {}

  template <typename F>
  void run(const F& f) {
    for (auto _ : state_) {
      const double start = now();
      f();
      seconds_.push_back(now() - start);
    }
    finish();
  }
  /// What an iteration must have read and written at least; of_read is the share of the ceiling.
  void report_bytes(double bytes) const;
  /// What it must have computed; of_fma is the share of the ceiling.
  void report_operations(double operations) const;

 private:
  static double now();
  void finish();
  double median() const { return seconds_[seconds_.size() / 2]; }

  benchmark::State& state_;
  std::vector<double> seconds_;
};

/// Registers a benchmark whose other arguments are `more`, each a list, after its threads.
template <typename... F>
void add(const std::string& name, std::vector<std::vector<int64_t>> more, F&&... f) {
  more.insert(more.begin(), kThreads);
  benchmark::RegisterBenchmark(name.c_str(), std::forward<F>(f)...)
      ->ArgsProduct(more)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

// One a file.
void add_linear();
void add_attention();
void add_layernorm();
void add_elementwise();
void add_logits();
void add_hooks();

}  // namespace vitrine::bench
