// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/linear/linear.cuh"
#include "kernels/cuda/runtime/launch.h"

// x W for few rows: decode. The time is that of reading the weights once, so the number of bytes in
// flight decides.
//
// A block computes 8 outputs for up to 16 rows. Its warps take one part of the inputs each (see
// linear.h), whose weights, 8 outputs x 512 bytes, are all loaded at once: 8 loads of 16 bytes in
// each lane, of which lanes exchange halves before they feed the tensor cores. That is 4 KB per
// warp. An SM of an H200 needs about 33 KB in flight for its share of 4.3 TB/s at 1 us of latency.
// The smallest matrix of GPT-2 (768 x 768) has 288 such warps, 2 or 3 per SM, and is in flight as a
// whole; a 1600 x 1600 has 1400, 42 KB per SM; wider ones fill the SMs' registers, which hold about
// 16 warps of this kernel, 64 KB.
//
// The loads begin before the previous kernel has ended, for weights do not depend on it; those of x
// follow all at once when it has. tests/cuda_code reads both in the machine code. Partial sums meet
// in shared memory and are added in the order of the parts; where there are more parts than a block
// has warps, they go around.

namespace vitrine::internal::cuda {
namespace {

constexpr int kOutputs = 8, kMostWarps = 16;  // of a block

/// A lane's chunks of one part of the weights.
template <class T, bool kWhole>
struct WeightStream {
  const std::byte* row;
  int in;
  int quad;  ///< which chunk of a span is the lane's
  Chunk chunk[kSpansOfPart];

  VITRINE_DEVICE void load(int part, int span) {
    const int k = part * kPart<T> + span * kSpan<T> + quad * kChunk<T>;
    if constexpr (kWhole)
      chunk[span] = load_chunk_if(k < in, row + int64_t{k} * static_cast<int>(sizeof(T)));
    else
      chunk[span] = load_bounded<T>(row, k, in);
  }
};

/// This lane's share of the span of x that begins with element k; rows after the last are zeros.
template <class T, bool kWhole>
VITRINE_DEVICE Chunk load_x(const LinearOperands& operands, int row, int k) {
  const bool row_is_there = row < operands.rows;
  const std::byte* at = operands.x + row * operands.x_stride;
  if constexpr (kWhole) {
    const int first = k + half_of_lane() * (kChunk<T> / 2), second = first + kSpan<T> / 2;
    const std::byte* from = at + int64_t{first} * static_cast<int>(sizeof(T));
    return joined(load_half_if(row_is_there && first < operands.in, from),
                  load_half_if(row_is_there && second < operands.in, from + 2 * sizeof(Chunk)));
  } else {
    const int own = k + lane_id() % 4 * kChunk<T>;
    return shared_by_halves(
        row_is_there && own < operands.in ? load_bounded<T>(at, own, operands.in) : Chunk{});
  }
}

/// Multiplies one part of the inputs with the weights at hand, each of which is then replaced by
/// what `next` is to take. Rows of x come in one or two groups of 8, of which a lane holds one row
/// each: the top and bottom of the tensor cores' tiles.
template <class T, int kGroups, bool kWhole>
VITRINE_DEVICE void multiply_part(const LinearOperands& operands, int first_row, int part, int next,
                                  WeightStream<T, kWhole>& weights, float (&sums)[4]) {
  constexpr int kBatch = 8 / kGroups;  // spans of x loaded at once: 8 shares for any number of rows
  const int row = first_row + lane_id() / 4;
#pragma unroll
  for (int begin = 0; begin < kSpansOfPart; begin += kBatch) {
    Chunk x[kBatch][kGroups];
#pragma unroll
    for (int s = 0; s < kBatch; ++s) {
      const int k = part * kPart<T> + (begin + s) * kSpan<T>;
#pragma unroll
      for (int group = 0; group < kGroups; ++group)
        x[s][group] = load_x<T, kWhole>(operands, row + 8 * group, k);
    }
    // While x is under way, and all together: an exchange takes as long as a product.
#pragma unroll
    for (int s = 0; s < kBatch; ++s)
      weights.chunk[begin + s] = shared_by_halves(weights.chunk[begin + s]);
#pragma unroll
    for (int s = 0; s < kBatch; ++s) {
      if (part * kPart<T> + (begin + s) * kSpan<T> >= operands.in) return;
      const Operand<T> right = operand<T>(weights.chunk[begin + s]);
      weights.load(next, begin + s);
      if constexpr (kGroups == 1)
        mma_span<T>(sums, operand<T>(x[s][0]), right);
      else
        mma_span<T>(sums, operand<T>(x[s][0]), operand<T>(x[s][1]), right);
    }
  }
}

/// Puts a warp's sums down as [rows][kOutputs].
template <int kGroups>
VITRINE_DEVICE void store_sums(const float (&sums)[4], float* to) {
  const int row = lane_id() / 4, column = 2 * (lane_id() % 4);
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
    float* at = to + (8 * group + row) * kOutputs + column;
    at[0] = sums[2 * group];
    at[1] = sums[2 * group + 1];
  }
}

template <class T, int kGroups, bool kWhole>
__global__ void __launch_bounds__(kMostWarps* kWarp, 1)
    few_rows_kernel(LinearOperands operands, Epilogue epilogue) {
  constexpr int kTile = 8 * kGroups * kOutputs;
  float* totals = shared_memory<float>();  // [kTile], then each warp's [kTile]
  float* partial = totals + kTile;
  const int warps = static_cast<int>(blockDim.x) / kWarp, warp = warp_id();
  const int column = static_cast<int>(blockIdx.x) * kOutputs,
            row = static_cast<int>(blockIdx.y) * 8 * kGroups;
  const int parts = static_cast<int>(ceil_div(operands.in, kPart<T>));
  // Lanes after the last output read it again; the result is unused.
  const int output =
      column + lane_id() / 4 < operands.out ? column + lane_id() / 4 : operands.out - 1;
  WeightStream<T, kWhole> weights{
      operands.weight + output * operands.weight_stride, operands.in, lane_id() % 4, {}};
#pragma unroll
  for (int s = 0; s < kSpansOfPart; ++s) weights.load(warp, s);
  wait_for_previous_kernel();
  let_next_kernel_start();

  const int rows = operands.rows - row < 8 * kGroups ? operands.rows - row : 8 * kGroups;
  const int own = static_cast<int>(threadIdx.x), elements = rows * kOutputs;
  const auto inside = [&](int e) { return e < elements && column + e % kOutputs < operands.out; };
  Epilogue::Terms own_terms{};
  if (inside(own)) own_terms = epilogue.terms(row + own / kOutputs, column + own % kOutputs);
  for (int first = 0; first < parts; first += warps) {
    float sums[4] = {};
    multiply_part<T, kGroups, kWhole>(operands, row, first + warp, first + warp + warps, weights,
                                      sums);
    store_sums<kGroups>(sums, partial + warp * kTile);
    __syncthreads();
    const int count = parts - first < warps ? parts - first : warps;
    for (int e = own; e < elements; e += static_cast<int>(blockDim.x)) {
      float sum = first == 0 ? 0.0f : totals[e];
      for (int p = 0; p < count; ++p) sum += partial[p * kTile + e];
      totals[e] = sum;
      if (first + warps < parts || !inside(e)) continue;
      const int r = row + e / kOutputs, c = column + e % kOutputs;
      epilogue.finish<T>(r, c, sum, e == own ? own_terms : epilogue.terms(r, c));
    }
    __syncthreads();
  }
}

template <class T, int kGroups, bool kWhole>
void launch_groups(Device& device, const LinearOperands& operands, const Epilogue& epilogue) {
  const int64_t parts = ceil_div(operands.in, kPart<T>), rounds = ceil_div(parts, kMostWarps),
                warps = ceil_div(parts, rounds);
  const LaunchShape shape{
      .grid = dim3(ceil_div(operands.out, kOutputs), ceil_div(operands.rows, 8 * kGroups)),
      .block = dim3(warps * kWarp),
      .shared = static_cast<size_t>(warps + 1) * 8 * kGroups * kOutputs * sizeof(float),
      .may_start_early = true};
  launch(device, shape, few_rows_kernel<T, kGroups, kWhole>, operands, epilogue);
}

}  // namespace

void linear_few_rows(Device& device, DType dtype, const LinearOperands& operands,
                     const Epilogue& epilogue) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    if (!operands.chunks_are_whole(sizeof(T)))
      return launch_groups<T, 2, false>(device, operands, epilogue);
    if (operands.rows <= 8) return launch_groups<T, 1, true>(device, operands, epilogue);
    launch_groups<T, 2, true>(device, operands, epilogue);
  });
}

}  // namespace vitrine::internal::cuda
