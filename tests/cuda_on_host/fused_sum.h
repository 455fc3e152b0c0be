// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "tests/cuda_on_host/cuda_on_host.h"

// How a tensor core adds, as measured on hardware and published by MMA-Sim (Xie et al.,
// arXiv:2511.10909; its code is the oracle of fused_sum_test): exact products and the accumulator
// are aligned to the largest exponent among them, cut off some bits below it, added as whole
// numbers, and the sum is cut off to float32.

namespace vitrine::internal::cuda_on_host {

/// What differs between generations.
struct TensorCore {
  int fraction_bits;  ///< kept below the largest exponent
  int bytes_at_once;  ///< of one operand that one sum takes; an instruction with more makes several
  int zero_exponent;  ///< what a product of 0 counts as
};
inline constexpr TensorCore kAmpere{24, 16, -132}, kHopper{25, 32, -133};

/// An element of an operand: significand * 2^(exponent - 10), or a NaN or infinity.
struct Element {
  int32_t significand = 0;
  int exponent = 0;
  bool finite = true;
  float value = 0.0f;
};
/// From 16 bits, or from the upper 19 of a float32 for TF32.
Element element(MmaKind kind, uint32_t bits);

/// Vector arithmetic of GCC and Clang.
using Four = int32_t __attribute__((vector_size(16)));

/// The 32 bytes of one instruction's operand. Numbers that are sums of one set lie in one half.
struct Operand {
  Four significand[4] = {}, exponent[4] = {};
  bool finite = true;    ///< all of them
  bool zero = false;     ///< all of them
  float value[16] = {};  ///< only where not all are finite
};

/// Whether all its numbers are zeros.
bool is_zero(const Operand& operand);
/// c + the sum of left[i] right[i], of one instruction of `kind`.
float fused_sum(const TensorCore& core, MmaKind kind, const Operand& left, const Operand& right,
                float c);
/// The same; shorter operands are filled up with zeros.
float fused_sum(const TensorCore& core, MmaKind kind, std::span<const Element> left,
                std::span<const Element> right, float c);

}  // namespace vitrine::internal::cuda_on_host
