// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "bench/measure/floors.h"
#include "bench/measure/row.h"
#include "kernels/backend.h"

namespace vitrine::bench {
using namespace internal;

/// How much is walked and multiplied to find a machine's rates; 0: what suits it.
struct RateSizes {
  size_t memory = 0;   ///< bytes; more than any cache holds
  int64_t matrix = 0;  ///< rows, inputs and outputs of the product on a GPU
  size_t disk = 0;     ///< bytes written
};

/// What the machine that a model runs on does at best, measured here and now.
struct DeviceRates {
  struct Arithmetic {
    Samples operations;  ///< a second
    std::string by;      ///< what did them
  };

  std::string device;   ///< in words
  int threads = 0;      ///< of a CPU
  Samples bandwidth;    ///< bytes a second: read on a CPU, in 2 MB pages as weights are; read and
                        ///< written by a copy on a GPU
  Samples small_pages;  ///< the same in pages of 4 KB, as what others allocate is; of a CPU
  Samples barrier;      ///< seconds of a parallel region with nothing in it; of a CPU
  std::map<DType, Arithmetic> arithmetic;
  Samples launch;  ///< seconds of one small operation among many recorded ones; empty where nothing
                   ///< is recorded

  /// The best that was seen: a ceiling is not an average.
  Rates best(DType dtype) const;
  Json json() const;
};

struct RateOptions {
  std::string device = "cpu";
  int threads = 0;
  std::vector<DType> dtypes;
  int repeat = 5;
  RateSizes sizes = {};
  std::function<void(const std::string&)> on_step = {};  ///< told what is measured next; may throw
};

/// Throws Error (user) for a device that is not there.
DeviceRates measure_rates(const RateOptions& options);
/// How often it calls on_step, at most.
uint64_t rate_steps(const RateOptions& options);

}  // namespace vitrine::bench
