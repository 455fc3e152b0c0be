// SPDX-License-Identifier: MIT
#include "bench/measure/memory_use.h"

#include <sys/resource.h>

#include <fstream>

namespace vitrine::bench {

uint64_t peak_memory() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts in kilobytes
}

void forget_peak_memory() {
  // proc(5): 5 resets the peak to what is in use now.
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace vitrine::bench
