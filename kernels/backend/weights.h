// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "vitrine/dtype.h"

namespace vitrine::internal {

/// A weight matrix as a checkpoint holds it, in host memory: the weight from input i to output o is
/// the element at data + (i * in_stride + o * out_stride). GPT-2's Conv1D is [in, out]; wte, seen
/// as the unembedding, is [out, in]. `data` may be at any address: files align nothing.
struct HostWeight {
  const void* data = nullptr;
  DType dtype = DType::kF32;  ///< f32, f16 or bf16
  int64_t in = 0, out = 0;
  int64_t in_stride = 0, out_stride = 0;
};

/// A weight matrix in the layout that the backend wants, in a buffer of the backend. A view: the
/// buffer outlives it.
///
/// CUDA's layout: [out][in], each output's inputs padded with zeros to whole chunks of 64 bytes.
/// The CPU's: columns (outputs) in panels of `kPanel`, each panel [in][kPanel], so that one row and
/// a thousand rows of activations walk the same memory in the same order. The last panel is padded
/// with zeros.
///
/// Stored as i8 (on a CPU), the weights of output o are whole numbers of -127 .. 127 times
/// scales[o] = max |w| / 127 over o's weights: w / scales[o], rounded to the nearest, to even at
/// ties. Where max |w| / 127 is below float32's normal numbers, the weights are zeros and so is the
/// scale; where a weight is a NaN or an infinity, the scale is a NaN.
struct PackedMatrix {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;  ///< as stored; arithmetic accumulates in float32 whatever it is
  int64_t in = 0, out = 0;
  int64_t panel_stride =
      0;  ///< bytes between one panel and the next (CPU), one output and the next (CUDA)
  int64_t input_stride = 0;  ///< bytes between one input and the next of the same output
  const float* scales =
      nullptr;  ///< i8 only: one for each output, filled up with zeros to whole panels

  /// The rows [begin, begin + count) of the matrix, that is: the part that multiplies those inputs.
  /// Shares the data.
  PackedMatrix inputs(int64_t begin, int64_t count) const;

  static constexpr int64_t kPanel = 16;
};

/// Weights in the layout of a machine.
class WeightPacker {
 public:
  /// Throws Error (user) for a type that the backend cannot multiply with.
  virtual size_t packed_bytes(int64_t in, int64_t out, DType store) const = 0;
  /// Lays `source` out at `destination` (packed_bytes long, 64-byte aligned), converted to `store`:
  /// f32, f16, bf16 or, on a CPU, i8.
  virtual PackedMatrix pack(const HostWeight& source, DType store, std::byte* destination) = 0;

 protected:
  ~WeightPacker() = default;
};

}  // namespace vitrine::internal
