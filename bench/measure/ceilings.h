// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"

namespace vitrine::bench {
using namespace internal;

/// In which pages memory lies: what the system gives unasked, of 4 KB on most machines, or 2 MB
/// where it can.
enum class Pages : uint8_t { kSmall, kLarge };

/// What the machine could do at best, measured here and now: a figure means little without the
/// ceiling it stands under.
class Ceilings {
 public:
  /// `bytes`: how much memory the bandwidth tests walk; as much as the weights, so that caches help
  /// both alike.
  Ceilings(int threads, size_t bytes, Pages pages = Pages::kLarge);
  ~Ceilings();

  /// Gigabytes a second of one pass over the memory, each thread its own part.
  double read_bandwidth();
  /// The same, writing.
  double write_bandwidth();
  /// GFLOP/s of fused multiply-adds on registers alone, at the widest vectors of this machine.
  double fma_peak();
  /// Seconds until all threads have begun and ended a parallel region with nothing in it: what each
  /// operation costs beside its work.
  double barrier();

 private:
  int threads_;
  std::unique_ptr<Backend> memory_;
  Buffer buffer_;
};

}  // namespace vitrine::bench
