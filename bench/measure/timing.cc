// SPDX-License-Identifier: MIT
#include "bench/measure/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace vitrine::bench {
using namespace internal;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_each(Backend& backend, int repetitions, const std::function<void()>& work) {
  backend.synchronize();
  const double start = now();
  for (int i = 0; i < repetitions; ++i) work();
  backend.synchronize();
  return (now() - start) / repetitions;
}

int enough_repetitions(Backend& backend, const std::function<void()>& work) {
  constexpr double kSpan = 2.2e-3;
  constexpr int kMost = 100000;
  work();
  for (int repetitions = 1;;) {
    const double span = seconds_each(backend, repetitions, work) * repetitions;
    if (span >= kSpan || repetitions >= kMost) return repetitions;
    const double wanted = std::ceil(repetitions * kSpan / std::max(span, 1e-9));
    repetitions =
        static_cast<int>(std::clamp(wanted, 2.0 * repetitions, static_cast<double>(kMost)));
  }
}

}  // namespace vitrine::bench
