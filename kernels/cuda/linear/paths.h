// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "kernels/backend/backward.h"
#include "kernels/cuda/runtime/device.h"

// The ways to a linear operation beside the portable kernels. Each says no to what it is not for.

namespace vitrine::internal::cuda {

/// On Hopper, from 128 rows on, 16-bit activations and weights of the same type whose rows are
/// aligned to 16 bytes, `in` >= 64: begins the operation and returns the kernel's name. Otherwise
/// empty. The bits are those of the portable kernels.
std::string hopper_linear(Device& device, const LinearArgs& args);

/// NVIDIA's own library.
class Cublas {
 public:
  /// Throws Error (user) if the library is not on this machine.
  static std::unique_ptr<Cublas> open(Device& device);
  virtual ~Cublas() = default;

  static constexpr size_t kWorkspace = size_t{32} << 20;
  /// Begins sums = x W, in float32; `workspace` is kWorkspace long. False if the library has
  /// nothing for the case.
  virtual bool product(const Mat& x, const PackedMatrix& weight, const Mat& sums,
                       std::byte* workspace) = 0;
};

/// Begins what follows the sums [rows, out] of a linear operation.
void apply_epilogue(Device& device, const LinearArgs& args, const Mat& sums);

}  // namespace vitrine::internal::cuda
