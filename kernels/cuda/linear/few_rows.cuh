// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/linear/linear.cuh"
#include "kernels/cuda/norm/layernorm_row.cuh"

// The few rows of x that a block multiplies, in its shared memory: as they are, or normalized by
// the block itself. A layernorm computed here has the bits of norm/layernorm.cu: the same threads'
// sums in the same order, by as many warps as the block has. Each of its warps' shares of a row is
// an item, and the block's warps take the items in turn.

namespace vitrine::internal::cuda {

inline constexpr int kMaxSharedRows = 8;
inline constexpr int kSpanBytes = 64, kPartBytes = kSpansOfPart * kSpanBytes;

/// The layernorm whose output is x; without a weight, x is in memory.
struct NormOperand : NormRows {
  const float* weight = nullptr;
  const float* bias = nullptr;
  int warps = 0;  ///< of the block that sums a row

  NormOperand() = default;
  explicit NormOperand(const LayerNormArgs& args)
      : NormRows(args.x, args.epsilon),
        weight(args.weight),
        bias(args.bias),
        warps(norm_threads(args.x.cols) / kWarp) {}

  /// Whether no thread has more than kHeld quads of a row.
  static constexpr int kHeld = 2;
  bool is_held() const { return width <= kHeld * warps * kWarp * kQuad; }
  bool aligned() const {
    return x.aligned && width % kQuad == 0 && Rows<const float>(weight, kQuad).aligned &&
           Rows<const float>(bias, kQuad).aligned;
  }
};

template <class T>
class SharedRows {
 public:
  /// Bytes between rows: whole spans and a half, so that those of four rows lie in different banks.
  static constexpr int stride(int in) { return spans(in) * kSpanBytes + kSpanBytes / 2; }
  static constexpr size_t bytes(int rows, int in, int norm_warps) {
    const size_t own = static_cast<size_t>(rows) * static_cast<size_t>(stride(in));
    if (norm_warps == 0) return own;
    return own + static_cast<size_t>(2 + rows) * static_cast<size_t>(in) * sizeof(float) +
           2 * static_cast<size_t>(rows * norm_warps) * sizeof(double);
  }

  VITRINE_DEVICE SharedRows(const LinearOperands& operands, const NormOperand& norm,
                            std::byte* memory)
      : operands_(operands), norm_(norm), memory_(memory) {}

  /// Begins what needs no earlier kernel.
  VITRINE_DEVICE void begin() const {
    if (norm_.weight == nullptr) return;
    copy_floats(weight(), norm_.weight);
    copy_floats(bias(), norm_.bias);
  }
  /// Brings the rows in; afterwards all threads of the block see them.
  VITRINE_DEVICE void fill() const {
    if (norm_.weight == nullptr) {
      copy_rows();
    } else {
      for (int row = 0; row < operands_.rows; ++row)
        copy_floats(values() + row * operands_.in, norm_.x.at(row, 0));
    }
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    if (norm_.weight != nullptr) normalize();
  }
  /// The lane's row of 8, from its share of the first span on. A row that is not there is the first
  /// one again, whose products are not used.
  VITRINE_DEVICE const std::byte* lane_row() const {
    const int row = lane_id() / 4 < operands_.rows ? lane_id() / 4 : 0;
    return memory_ + row * stride(operands_.in) + half_of_lane() * (kSpanBytes / 8);
  }

 private:
  static constexpr int spans(int in) { return static_cast<int>(ceil_div(in, kSpan<T>)); }
  VITRINE_DEVICE float* weight() const {
    return reinterpret_cast<float*>(memory_ + operands_.rows * stride(operands_.in));
  }
  VITRINE_DEVICE float* bias() const { return weight() + operands_.in; }
  VITRINE_DEVICE float* values() const { return bias() + operands_.in; }
  VITRINE_DEVICE double* sums() const {
    return reinterpret_cast<double*>(values() + operands_.rows * operands_.in);
  }
  VITRINE_DEVICE double* squares() const { return sums() + operands_.rows * norm_.warps; }

  VITRINE_DEVICE void copy_floats(float* to, const float* from) const {
    for (int i = static_cast<int>(threadIdx.x) * kQuad; i < operands_.in;
         i += static_cast<int>(blockDim.x) * kQuad)
      copy_async(to + i, from + i, sizeof(Chunk));
  }
  /// f(row, offset in bytes) of each 16 bytes of the rows' spans from `begin` on.
  template <class F>
  VITRINE_DEVICE void for_each_chunk(int begin, const F& f) const {
    for (int row = 0; row < operands_.rows; ++row) {
      for (int at = begin + static_cast<int>(threadIdx.x * sizeof(Chunk));
           at < spans(operands_.in) * kSpanBytes;
           at += static_cast<int>(blockDim.x * sizeof(Chunk)))
        f(row, at);
    }
  }
  VITRINE_DEVICE int row_bytes() const { return operands_.in * static_cast<int>(sizeof(T)); }
  VITRINE_DEVICE void copy_rows() const {
    for_each_chunk(0, [&](int row, int at) {
      const bool there = at < row_bytes();
      copy_async(memory_ + row * stride(operands_.in) + at,
                 operands_.x + row * operands_.x_stride + (there ? at : 0),
                 there ? static_cast<int>(sizeof(Chunk)) : 0);
    });
  }

  /// f(item, its row, its thread of the row's block) for the items of this warp.
  template <class F>
  VITRINE_DEVICE void for_each_item(const F& f) const {
    for (int item = warp_id(); item < operands_.rows * norm_.warps;
         item += static_cast<int>(blockDim.x) / kWarp)
      f(item, item / norm_.warps, item % norm_.warps * kWarp + lane_id());
  }
  /// f(column, the row's quad there) for each quad of a thread of the row's block.
  template <class F>
  VITRINE_DEVICE void for_each_quad_of(int row, int thread, const F& f) const {
    const float* from = values() + row * operands_.in;
    for_each_quad<NormOperand::kHeld>(
        operands_.in,
        [&](int64_t column, int, int) { f(column, load_quad(from + column, kQuad, true)); },
        static_cast<unsigned>(thread), static_cast<unsigned>(norm_.warps * kWarp));
  }
  VITRINE_DEVICE float mean(int row) const {
    return norm_.mean(sum_of_warps(sums() + row * norm_.warps, norm_.warps));
  }
  VITRINE_DEVICE void put(double* slots, int item, double sum) const {
    sum = warp_sum(sum);
    if (lane_id() == 0) slots[item] = sum;
  }
  VITRINE_DEVICE void normalize() const {
    for_each_item([&](int item, int row, int thread) {
      double sum = 0.0;
      for_each_quad_of(row, thread, [&](int64_t, const Quad& x) { add_values(sum, x); });
      put(sums(), item, sum);
    });
    __syncthreads();
    for_each_item([&](int item, int row, int thread) {
      double sum = 0.0;
      const float own = mean(row);
      for_each_quad_of(row, thread,
                       [&](int64_t, const Quad& x) { add_squares(sum, x, own, kQuad); });
      put(squares(), item, sum);
    });
    __syncthreads();
    for_each_item([&](int, int row, int thread) {
      const float own = mean(row),
                  scale = norm_.scale(sum_of_warps(squares() + row * norm_.warps, norm_.warps)),
                  inverse = 1.0f / scale;
      T* to = reinterpret_cast<T*>(memory_ + row * stride(operands_.in));
      for_each_quad_of(row, thread, [&](int64_t column, const Quad& x) {
        store_quad(to + column,
                   normalized(x, own, inverse, load_quad(weight() + column, kQuad, true),
                              load_quad(bias() + column, kQuad, true)),
                   kQuad, true);
      });
    });
    for_each_chunk(row_bytes(), [&](int row, int at) {
      *reinterpret_cast<Chunk*>(memory_ + row * stride(operands_.in) + at) = {};
    });
    __syncthreads();
  }

  const LinearOperands& operands_;
  const NormOperand& norm_;
  std::byte* memory_;
};

}  // namespace vitrine::internal::cuda
