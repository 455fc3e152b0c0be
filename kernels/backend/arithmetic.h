// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "kernels/backend.h"

namespace vitrine::internal {

/// What a CPU's products take.
enum class Arithmetic : uint8_t {
  kExact,  ///< float32 activations
  kBf16,   ///< as a GPU that stores weights in 16 bits: bfloat16 activations between operations,
           ///< float32 sums and residual stream; for weights stored as bf16 or i8
};
/// "exact" or "bf16"; throws Error (user) naming these two for another word.
Arithmetic arithmetic_from_name(std::string_view name);

/// Throws Error (user) for a negative thread count.
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options, Arithmetic arithmetic);

}  // namespace vitrine::internal
