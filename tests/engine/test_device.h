#pragma once

#include <cstdlib>
#include <string>

#include "vitrine/model.h"

namespace vitrine::testing_support {

/// The device that a test program was linked for: the CPU (cpu_device.cc), or the CUDA backend played by the processor
/// (tests/cuda_on_host/played_device.cc).
extern const char* const kBuiltFor;

/// Where the engine's tests run: VITRINE_TEST_DEVICE of the environment, as Model takes it; else what they were linked for.
inline std::string test_device() {
  const char* chosen = std::getenv("VITRINE_TEST_DEVICE");
  return chosen != nullptr ? chosen : kBuiltFor;
}

inline bool on_cpu() { return test_device() == "cpu"; }

/// `options` for that device.
inline ModelOptions test_options(ModelOptions options = {}) {
  options.device = test_device();
  return options;
}

}  // namespace vitrine::testing_support
