// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vitrine::cli {

struct Gpu {
  std::string name, bus;            ///< bus: where it sits, "0000:17:00.0"
  uint64_t memory = 0;              ///< bytes
  int major = 0, minor = 0;         ///< compute capability
  std::optional<uint64_t> used;     ///< bytes that programs hold
  std::optional<bool> persistence;  ///< whether the driver stays loaded between programs
  std::optional<bool> mig;          ///< whether it is cut into instances
};

struct Gpus {
  std::string absent;      ///< why there is none to use, on one line; empty if there is one
  std::string driver;      ///< its version, "570.86.10"
  int cuda = 0;            ///< the newest CUDA that the driver serves: 12080 is 12.8
  std::vector<Gpu> found;  ///< as this process sees them, in CUDA's order
  std::string cublas;      ///< the file name of the cuBLASLt that was found, or empty
};

/// Asks NVIDIA's driver and its management library, both opened at run time: works without either.
Gpus find_gpus();

/// 12080 as "12.8".
std::string cuda_version(int number);

}  // namespace vitrine::cli
