// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/primitives.cuh"

// Matrix products of a warp on tensor cores, [16 rows] x [8 columns] at a time, from operands that
// both lie row by row along the inputs (K): activations [rows][K], weights [outputs][K], keys
// [positions][K], values transposed [channels][positions].
//
// A step takes a *span* of 64 bytes along K: 32 elements of 16 bits or 16 floats. Of these, lane l
// takes 16 bytes, its *share*: of rows l / 4 and l / 4 + 8 of the left operand, and of row l / 4 of
// the right one. The first 8 bytes of all shares go into one instruction, the others into another.
// Which element of K an instruction calls first is free as long as left and right agree. There are
// two ways to share a span:
//
// - by chunks: lane l has the 16 bytes numbered l % 4, one aligned load. Attention does so.
// - by halves: lane l has 8 bytes of the span's first half and 8 of its second. So an instruction
//   sums 32 neighbouring bytes, as Hopper's wgmma does, and both give the same bits. The linear
//   operations do so.
//
// The way is part of what makes results independent of the number of rows.
//
// The accumulator: c[0], c[1] are row l / 4, columns 2 (l % 4) and one more; c[2], c[3] the same of
// row l / 4 + 8.

namespace vitrine::internal::cuda {

template <class T>
inline constexpr int kSpan = 64 / static_cast<int>(sizeof(T));  ///< elements of K in a span

/// Elements ready for the tensor cores: 16-bit ones as they are.
template <class T>
struct Operand {
  Chunk chunk;
};
/// float32 as the sum of two TF32 numbers of 11 bits each; the products of three pairs of them
/// leave out about 2^-22.
template <>
struct Operand<float> {
  Chunk high, low;
};

#if defined(__CUDACC__)
VITRINE_DEVICE uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}
VITRINE_DEVICE float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }
#else
inline uint32_t to_tf32(float x) { return cuda_on_host::to_tf32(x); }
inline float bits_to_float(uint32_t bits) { return cuda_on_host::bits_to_float(bits); }
#endif

template <class T>
VITRINE_DEVICE Operand<T> operand(const Chunk& chunk) {
  if constexpr (sizeof(T) == 2) {
    return {chunk};
  } else {
    Operand<float> split;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float x = bits_to_float(chunk.word[i]);
      split.high.word[i] = to_tf32(x);
      split.low.word[i] = to_tf32(x - bits_to_float(split.high.word[i]));
    }
    return split;
  }
}

/// c += one instruction's product: 16 x 8 of 16 elements of K for 16 bits, of 8 for TF32.
template <class T>
VITRINE_DEVICE void mma_step(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                             uint32_t b0, uint32_t b1) {
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<T, Bf16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else if constexpr (std::is_same_v<T, F16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
#else
  constexpr auto kKind = std::is_same_v<T, Bf16>  ? cuda_on_host::MmaKind::kBf16
                         : std::is_same_v<T, F16> ? cuda_on_host::MmaKind::kF16
                                                  : cuda_on_host::MmaKind::kTf32;
  cuda_on_host::mma(kKind, c, {a0, a1, a2, a3}, {b0, b1});
#endif
}

/// From the chunk numbered l % 4 of a span to the share by halves: lanes l and l ^ 2 exchange 8
/// bytes. After it lane l has the 8 bytes numbered half_of_lane() of each half.
VITRINE_DEVICE Chunk shared_by_halves(const Chunk& c) {
  const bool late = lane_id() % 4 >= 2;  // in the second half
  const uint32_t w0 = shuffle_xor(late ? c.word[0] : c.word[2], 2),
                 w1 = shuffle_xor(late ? c.word[1] : c.word[3], 2);
  return late ? Chunk{{w0, w1, c.word[2], c.word[3]}} : Chunk{{c.word[0], c.word[1], w0, w1}};
}
VITRINE_DEVICE int half_of_lane() { return lane_id() % 2 * 2 + lane_id() % 4 / 2; }

/// Instructions of a span: of float32 each product takes three.
template <class T>
inline constexpr int kSteps = sizeof(T) == 2 ? 2 : 6;

/// One of them, which all follow each other in this order. `top` is this lane's share of row l / 4,
/// `bottom` of row l / 4 + 8.
template <class T>
VITRINE_DEVICE void mma_step_of(int step, float (&c)[4], const Operand<T>& top,
                                const Operand<T>& bottom, const Operand<T>& right) {
  if constexpr (sizeof(T) == 2) {
    const uint32_t *t = top.chunk.word, *b = bottom.chunk.word, *r = right.chunk.word;
    const int i = 2 * step;
    mma_step<T>(c, t[i], b[i], t[i + 1], b[i + 1], r[i], r[i + 1]);
  } else {  // the small products first
    const int i = step / 3 * 2, product = step % 3;
    const uint32_t *t = (product == 0 ? top.low : top.high).word,
                   *b = (product == 0 ? bottom.low : bottom.high).word,
                   *r = (product == 1 ? right.low : right.high).word;
    mma_step<T>(c, t[i], b[i], t[i + 1], b[i + 1], r[i], r[i + 1]);
  }
}

/// c += left x right over one span.
template <class T>
VITRINE_DEVICE void mma_span(float (&c)[4], const Operand<T>& top, const Operand<T>& bottom,
                             const Operand<T>& right) {
#pragma unroll
  for (int step = 0; step < kSteps<T>; ++step) mma_step_of<T>(step, c, top, bottom, right);
}

/// The same where only the first 8 of the 16 rows hold anything.
template <class T>
VITRINE_DEVICE void mma_span(float (&c)[4], const Operand<T>& top, const Operand<T>& right) {
  mma_span<T>(c, top, Operand<T>{}, right);
}

/// How many products are computed side by side, so that none waits for the one before it.
template <class T>
inline constexpr int kSideBySide = sizeof(T) == 2 ? 8 : 4;

/// The same with several right operands, each with its own sums.
template <class T, int kTiles>
VITRINE_DEVICE void mma_spans(float (*c)[4], const Operand<T>& top,
                              const Operand<T> (&right)[kTiles]) {
#pragma unroll
  for (int step = 0; step < kSteps<T>; ++step) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
      mma_step_of<T>(step, c[tile], top, Operand<T>{}, right[tile]);
  }
}

// --- right operands that lie along their columns
// Some right operands lie [K][columns] in shared memory. A lane gets its share by a transposing
// load for 16 bits, by four loads for floats. The rows' chunks change places so that neither these
// loads nor those along the rows meet a bank twice: lanes that read together are in rows k, k + 1
// of four neighbouring chunks (along), or, crosswise, in rows as far apart as two lanes' shares,
// and for 16 bits their neighbours.

enum class Share { kChunks, kHalves };

/// The row of K that word m of the share of lanes `quad` + 4 n begins with.
template <class T, Share kShare>
VITRINE_DEVICE int row_of_word(int quad, int m) {
  constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
  return kOfWord * (kShare == Share::kChunks ? 4 * quad + m : 8 * (m / 2) + 2 * quad + m % 2);
}

/// The place of a chunk in its row; rows are a multiple of 8 chunks.
template <class T, Share kShare = Share::kChunks>
VITRINE_DEVICE int chunk_place(int row, int chunk) {
  constexpr unsigned kRowsOfLane = (kShare == Share::kChunks ? 16 : 8) / sizeof(T);
  const int turn = static_cast<int>(static_cast<unsigned>(row) / kRowsOfLane % 4);
  return chunk ^ ((row & 1) << 2) ^ (sizeof(T) == 2 ? turn : turn << 1);
}

/// This lane's share of 8 columns over one span. `rows` are the span's, each `row_chunks` long;
/// chunk `chunk` of row 0 is the columns' first, `row` the number of row 0 by which its chunks are
/// placed, a multiple of the span.
template <class T, Share kShare = Share::kChunks>
VITRINE_DEVICE Chunk crosswise_chunk(const Chunk* rows, int row_chunks, int chunk) {
  if constexpr (sizeof(T) == 2) {
    const int lane = lane_id(), row = row_of_word<T, kShare>(lane % 8 / 2, lane / 8) + lane % 2;
    return load_transposed(rows + row * row_chunks + chunk_place<T, kShare>(row, chunk));
  } else {
    const int quad = lane_id() % 4, column = lane_id() / 4;
    Chunk result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = row_of_word<T, kShare>(quad, i),
                place = chunk_place<T, kShare>(row, chunk + column / 4);
      result.word[i] = rows[row * row_chunks + place].word[column % 4];
    }
    return result;
  }
}

}  // namespace vitrine::internal::cuda
