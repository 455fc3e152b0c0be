#pragma once

#include <memory>

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

}  // namespace vitrine::bench
