#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace vitrine::bench {

/// What the machine could do at best, measured here and now: a figure means little without the ceiling it stands under.
class Ceilings {
 public:
  /// `bytes`: how much memory the bandwidth tests walk; as much as the weights, so that caches help both alike.
  Ceilings(int threads, size_t bytes);
  ~Ceilings();

  /// Gigabytes a second of one pass over the memory (in 2 MB pages where the system gives them), each thread its own part.
  double read_bandwidth();
  /// The same, writing.
  double write_bandwidth();
  /// GFLOP/s of fused multiply-adds on registers alone, at the widest vectors of this machine.
  double fma_peak();

 private:
  int threads_;
  std::unique_ptr<Backend> memory_;
  Buffer buffer_;
};

/// OpenBLAS, if it is installed: found when the program runs, so that nothing depends on it.
class OpenBlas {
 public:
  OpenBlas();
  bool found() const { return sgemm_ != nullptr; }
  std::string description() const;
  /// GFLOP/s of the four products of one GPT-2 layer, `rows` tokens, width `width`, inner width `inner`.
  double layer_rate(int threads, int rows, int width, int inner);

 private:
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  Sgemm sgemm_ = nullptr;
  void (*set_threads_)(int) = nullptr;
  char* (*config_)() = nullptr;
  std::vector<float> x_, w_, y_;
};

/// Seconds since some moment in the past.
double now();

}  // namespace vitrine::bench
