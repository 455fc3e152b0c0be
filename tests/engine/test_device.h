// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "vitrine/model.h"

namespace vitrine::testing_support {
using namespace internal;

/// The device that a test program was linked for: the CPU (cpu_device.cc), or the CUDA backend
/// emulated by the CPU (tests/cuda_on_host/emulated_device.cc).
extern const char* const kBuiltFor;

/// Where the engine's tests run: VITRINE_TEST_DEVICE of the environment, as Model takes it; else
/// what they were linked for.
inline std::string test_device() {
  const char* chosen = std::getenv("VITRINE_TEST_DEVICE");
  return chosen != nullptr ? chosen : kBuiltFor;
}

inline bool on_cpu() { return test_device() == "cpu"; }

/// The types that weights can be stored in there.
inline std::vector<DType> weight_types() {
  if (!on_cpu()) return {DType::kF32, DType::kF16, DType::kBF16};
  return {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
}

/// How a model stores its weights there, and computes with them.
struct Mode {
  DType dtype = DType::kF32;
  std::string arithmetic = "exact";

  ModelOptions options() const { return {.arithmetic = arithmetic, .dtype = dtype}; }
};

inline std::vector<Mode> modes() {
  std::vector<Mode> all;
  for (DType dtype : weight_types()) all.push_back({dtype});
  if (on_cpu()) all.push_back({DType::kBF16, "bf16"});
  return all;
}

inline std::string mode_name(const Mode& mode) {
  return std::string(dtype_name(mode.dtype)) + (mode.arithmetic == "exact" ? "" : "_arithmetic");
}

/// `options` for that device.
inline ModelOptions test_options(ModelOptions options = {}) {
  options.device = test_device();
  return options;
}

}  // namespace vitrine::testing_support
