#pragma once

#include <cstdlib>
#include <string>

#include "vitrine/model.h"

namespace vitrine::testing_support {

/// Where the engine's tests run: VITRINE_TEST_DEVICE of the environment, as Model takes it; else what the test was built for:
/// the CPU, or the CUDA backend played by the processor (tests/cuda_on_host).
inline std::string test_device() {
#ifndef VITRINE_TEST_DEVICE
#define VITRINE_TEST_DEVICE "cpu"
#endif
  const char* chosen = std::getenv("VITRINE_TEST_DEVICE");
  return chosen != nullptr ? chosen : VITRINE_TEST_DEVICE;
}

inline bool on_cpu() { return test_device() == "cpu"; }

/// `options` for that device.
inline ModelOptions test_options(ModelOptions options = {}) {
  options.device = test_device();
  return options;
}

}  // namespace vitrine::testing_support
