// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/linear/linear.cuh"
#include "kernels/cuda/norm/layernorm_row.cuh"

// The few rows of x that a block multiplies, in its shared memory: as they are, or normalized by
// the block itself. A layernorm computed here has the bits of norm/layernorm.cu: the same threads'
// sums in the same order, by as many warps as the block has. The block's warps take those
// warps' shares of a row in turn, two at a time.

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

  /// Begins to bring in what needs no earlier kernel.
  VITRINE_DEVICE void begin_weights() const {
    if (norm_.weight == nullptr) return;
    copy_floats(weight(), norm_.weight);
    copy_floats(bias(), norm_.bias);
  }
  /// Begins to bring the rows in.
  VITRINE_DEVICE void begin_rows() const {
    if (norm_.weight == nullptr) {
      copy_rows();
    } else {
      for (int row = 0; row < operands_.rows; ++row)
        copy_floats(values() + row * operands_.in, norm_.x.at(row, 0));
    }
    copy_async_commit();
  }
  /// Afterwards all threads of the block see the rows.
  VITRINE_DEVICE void finish_rows() const {
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

  /// What one warp of a row's block sums.
  struct Share {
    int warp, thread;
    bool there;
  };
  static constexpr int kTogether = 2;  // shares of a warp whose sums do not wait for each other
  /// f(row, shares) for all that this warp does; a share that is not there is the first again.
  template <class F>
  VITRINE_DEVICE void for_each_shares(const F& f) const {
    const int step = static_cast<int>(blockDim.x) / kWarp;
    for (int row = 0; row < operands_.rows; ++row) {
      for (int first = warp_id(); first < norm_.warps; first += kTogether * step) {
        Share shares[kTogether];
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          const bool there = first + i * step < norm_.warps;
          const int warp = there ? first + i * step : first;
          shares[i] = {warp, warp * kWarp + lane_id(), there};
        }
        f(row, shares);
      }
    }
  }
  /// f(i, column, the row's quad there, its elements) for each quad of shares[i]. Without a branch:
  /// where there is none, the quad is zeros and has 0 elements.
  template <class F>
  VITRINE_DEVICE void for_each_quad_of(int row, const Share (&shares)[kTogether],
                                       const F& f) const {
#pragma unroll
    for (int held = 0; held < NormOperand::kHeld; ++held) {
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int column = (shares[i].thread + held * norm_.warps * kWarp) * kQuad;
        const bool there = column < operands_.in;
        const float* from = values() + row * operands_.in + column;
        f(i, column, there ? load_quad(from, kQuad, true) : Quad{}, there ? kQuad : 0);
      }
    }
  }
  VITRINE_DEVICE void put(double* slots, int row, const Share (&shares)[kTogether],
                          double (&sums)[kTogether]) const {
#pragma unroll
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
#pragma unroll
      for (double& sum : sums) sum += shuffle_xor(sum, mask);
    }
    if (lane_id() != 0) return;
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      if (shares[i].there) slots[row * norm_.warps + shares[i].warp] = sums[i];
    }
  }
  /// sum_of_warps() of a row, whose slots are read some at a time. No sum is -0, so 0 changes none.
  VITRINE_DEVICE double sum_of_row(const double* slots, int row) const {
    constexpr int kAtOnce = sizeof(T) == 4 ? 2 : 4;  // of float32, registers are few
    double sum = 0.0;
#pragma unroll
    for (int first = 0; first < kNormWarps; first += kAtOnce) {
      double parts[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        parts[i] = first + i < norm_.warps ? slots[row * norm_.warps + first + i] : 0.0;
#pragma unroll
      for (const double part : parts) sum += part;
    }
    return sum;
  }
  VITRINE_DEVICE float mean(int row) const { return norm_.mean(sum_of_row(sums(), row)); }
  VITRINE_DEVICE float scale(int row) const { return norm_.scale(sum_of_row(squares(), row)); }
  VITRINE_DEVICE void normalize() const {
    for_each_shares([&](int row, const Share(&shares)[kTogether]) {
      double added[kTogether] = {};
      for_each_quad_of(row, shares,
                       [&](int i, int, const Quad& x, int) { add_values(added[i], x); });
      put(sums(), row, shares, added);
    });
    __syncthreads();
    for_each_shares([&](int row, const Share(&shares)[kTogether]) {
      const float own = mean(row);
      double added[kTogether] = {};
      for_each_quad_of(row, shares, [&](int i, int, const Quad& x, int count) {
        add_squares(added[i], x, own, count);
      });
      put(squares(), row, shares, added);
    });
    __syncthreads();
    for_each_shares([&](int row, const Share(&shares)[kTogether]) {
      const float own = mean(row), inverse = 1.0f / scale(row);
      T* to = reinterpret_cast<T*>(memory_ + row * stride(operands_.in));
      for_each_quad_of(row, shares, [&](int i, int column, const Quad& x, int count) {
        if (count == 0 || !shares[i].there) return;
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
