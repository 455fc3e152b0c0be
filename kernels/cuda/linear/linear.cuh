// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/linear/epilogue.cuh"
#include "kernels/cuda/runtime/device.h"
#include "vitrine/dtype.h"

// Linear operations on tensor cores: what their kernels share.
//
// The order of summation, which every kernel here follows to the bit: an output's inputs are cut
// into parts of kPart, a constant of the element's type. Within a part the tensor cores accumulate
// from zero, half a span (32 bytes of each operand) an instruction, in ascending order; the parts'
// sums are added to zero in ascending order by plain float additions. So a row has the same bits
// whichever kernel computes it, beside whatever other rows. The parts also bound what the tensor
// cores lose, which cut sums off instead of rounding them.

namespace vitrine::internal::cuda {

inline constexpr int kSpansOfPart = 8;
template <class T>
inline constexpr int kPart = kSpansOfPart* kSpan<T>;

/// Operands of x W, both of type T. Strides are in bytes.
struct LinearOperands {
  const std::byte* x = nullptr;
  const std::byte* weight = nullptr;
  int64_t x_stride = 0, weight_stride = 0;
  int rows = 0, in = 0, out = 0;

  /// Whether all operands can be read in aligned chunks, of which the last may extend past a row's
  /// end.
  bool rows_are_whole() const {
    const auto divisible = [](auto number) {
      return number % static_cast<decltype(number)>(sizeof(Chunk)) == 0;
    };
    return divisible(reinterpret_cast<uintptr_t>(x)) &&
           divisible(reinterpret_cast<uintptr_t>(weight)) && divisible(x_stride) &&
           divisible(weight_stride);
  }
  /// The same with each chunk entirely before or after `in`.
  bool chunks_are_whole(size_t element) const {
    return rows_are_whole() && static_cast<size_t>(in) * element % sizeof(Chunk) == 0;
  }
};

/// Elements [k, k + kChunk) of a row that may lie anywhere; zeros from `in` on.
template <class T>
VITRINE_DEVICE Chunk load_bounded(const std::byte* row, int k, int in) {
  return load_part(reinterpret_cast<const T*>(row) + k, in - k);
}

/// For up to 16 rows: the weights stream by once, at the memory's speed. Right for any number. With
/// `norm`, for which few_rows_normalize() is true, of layernorm(*norm) instead of operands.x.
void linear_few_rows(Device& device, DType dtype, const LinearOperands& operands,
                     const Epilogue& epilogue, const LayerNormArgs* norm = nullptr);
/// Whether each block can normalize the rows itself, and a kernel for that alone takes longer.
bool few_rows_normalize(const Device& device, DType dtype, const LinearOperands& operands,
                        const LayerNormArgs& norm);
/// For more: tiles of both operands are shared by a block.
void linear_many_rows(Device& device, DType dtype, const LinearOperands& operands,
                      const Epilogue& epilogue);
/// Whether linear_many_rows() has so few tiles that most of the device would idle.
bool tiles_leave_gaps(const Device& device, const LinearOperands& operands);
/// The same with a block for each part of the inputs of each tile, whose sums go to `sums`, [parts,
/// rows, out]; a second kernel adds them in their order and applies the epilogue.
void linear_by_parts(Device& device, DType dtype, const LinearOperands& operands,
                     const Epilogue& epilogue, const PartialSums& sums);
/// How many parts the inputs of weights of `dtype` are cut into.
int parts_of(DType dtype, int64_t in);

}  // namespace vitrine::internal::cuda
