// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/linear/few_rows.cuh"
#include "kernels/cuda/runtime/launch.h"

// x W for few rows: decode. The time is that of reading the weights once, so the number of bytes in
// flight decides.
//
// A block computes 8 outputs at a time for up to 16 rows. Its warps take one part of the inputs
// each (see linear.h), whose weights, 8 outputs x 512 bytes, are all loaded at once: 8 loads of 16
// bytes in each lane, of which lanes exchange halves before they feed the tensor cores. That is 4
// KB per warp. An SM of an H200 needs about 33 KB in flight for its share of 4.3 TB/s at 1 us of
// latency, and its registers hold 24 warps of this kernel, 96 KB. A launch has as many blocks as
// the SMs hold. They walk on over the outputs, and over the parts where these are more than the
// warps, with the loads of the next ones under way while these are multiplied.
//
// The first loads begin before the previous kernel has ended, for weights do not depend on it. Then
// up to 8 rows of x come to shared memory, all at once; as they are, or through their layernorm
// (few_rows.cuh). More rows, and rows that are too long, are loaded into registers, 8 loads at
// once. tests/cuda_code reads this in the machine code. Partial sums meet in shared memory and are
// added in the order of the parts.

namespace vitrine::internal::cuda {
namespace {

constexpr int kOutputs = 8, kMaxWarps = 12;  // of a block

/// Where the rows of x are read: in global memory, where they may lie anywhere, or aligned; or in
/// shared memory.
enum class Source { kAnywhere, kAligned, kShared };

/// A lane's chunks of one part of the weights of one output.
template <class T, Source kSource>
struct WeightStream {
  const std::byte* at;  ///< the part's first chunk of the lane
  int left;             ///< inputs from there on
  Chunk chunk[kSpansOfPart];

  VITRINE_DEVICE void load(int span) {
    if constexpr (kSource != Source::kAnywhere)
      chunk[span] = load_chunk_if(span * kSpan<T> < left, at + span * 64);
    else
      chunk[span] = load_bounded<T>(at, span * kSpan<T>, left);
  }
};

/// This lane's share of the span of x that begins with element k; rows after the last are zeros.
template <class T, Source kSource>
VITRINE_DEVICE Chunk load_x(const LinearOperands& operands, int row, int k) {
  const bool row_is_there = row < operands.rows;
  const std::byte* at = operands.x + row * operands.x_stride;
  if constexpr (kSource == Source::kAligned) {
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
/// what `weights` points at by now. Rows of x come in one or two groups of 8, of which a lane holds
/// one row each: the top and bottom of the tensor cores' tiles.
template <class T, int kGroups, Source kSource>
VITRINE_DEVICE void multiply_part(const LinearOperands& operands, const std::byte* shared_part,
                                  int first_row, int part, WeightStream<T, kSource>& weights,
                                  float (&sums)[4]) {
  // Spans of x loaded at once; of float32, whose operands take two registers more each, one.
  constexpr int kBatch = kSource == Source::kShared ? (sizeof(T) == 4 ? 1 : 2) : 8 / kGroups;
  const int row = first_row + lane_id() / 4, first = part * kPart<T>;
  const auto multiply = [&](auto whole) {
#pragma unroll
    for (int begin = 0; begin < kSpansOfPart; begin += kBatch) {
      Chunk x[kBatch][kGroups];
#pragma unroll
      for (int i = 0; i < kBatch * kGroups; ++i) {
        const int span = begin + i / kGroups, group = i % kGroups;
        if constexpr (kSource == Source::kShared)
          x[span - begin][group] = load_shared_share(shared_part + span * kSpanBytes);
        else
          x[span - begin][group] =
              load_x<T, kSource>(operands, row + 8 * group, first + span * kSpan<T>);
      }
      // While x is under way, and all together: an exchange takes as long as a product.
      if (begin == 0) {
#pragma unroll
        for (Chunk& chunk : weights.chunk) chunk = shared_by_halves(chunk);
      }
      if constexpr (kSource == Source::kAligned) __syncwarp();  // no product before the last load
#pragma unroll
      for (int s = 0; s < kBatch; ++s) {
        const Operand<T> right = operand<T>(weights.chunk[begin + s]);
        weights.load(begin + s);
        if (!whole.value && first + (begin + s) * kSpan<T> >= operands.in) continue;
        if constexpr (kGroups == 1)
          mma_span<T>(sums, operand<T>(x[s][0]), right);
        else
          mma_span<T>(sums, operand<T>(x[s][0]), operand<T>(x[s][1]), right);
      }
    }
  };
  // A part that is whole needs no branches between its products; elsewhere registers are too few
  // for both ways.
  constexpr bool kHasBoth = kSource == Source::kShared && sizeof(T) == 2;
  if (kHasBoth && first + kPart<T> <= operands.in)
    multiply(std::bool_constant<kHasBoth>{});
  else
    multiply(std::false_type{});
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

template <int kGroups>
constexpr int kTile = 8 * kGroups* kOutputs;
/// Of two rounds of the warps' sums.
template <int kGroups>
constexpr size_t sums_bytes(int64_t warps) {
  return static_cast<size_t>(2 * warps) * kTile<kGroups> * sizeof(float);
}

/// Warps that an SM's registers hold, and for which they are allotted: of 80 each, or of up to 168
/// where they hold rows of x. Those have 48 KB of weights in flight.
template <Source kSource>
constexpr int kResidentWarps = kSource == Source::kShared ? 24 : 12;

template <class T, int kGroups, Source kSource>
__global__ void __launch_bounds__(kMaxWarps* kWarp, kResidentWarps<kSource> / kMaxWarps)
    few_rows_kernel(LinearOperands operands, Epilogue epilogue, NormOperand norm) {
  const int warps = static_cast<int>(blockDim.x) / kWarp, warp = warp_id(),
            row = static_cast<int>(blockIdx.y) * 8 * kGroups;
  const int parts = static_cast<int>(ceil_div(operands.in, kPart<T>)),
            step = static_cast<int>(gridDim.x) * kOutputs;
  WeightStream<T, kSource> weights;
  const auto point_at = [&](int column, int part) {
    const int own = column + lane_id() / 4, k = part * kPart<T> + lane_id() % 4 * kChunk<T>;
    // Lanes after the last output read it again; the result is unused.
    weights.at = operands.weight +
                 (own < operands.out ? own : operands.out - 1) * operands.weight_stride +
                 int64_t{k} * static_cast<int>(sizeof(T));
    weights.left = column < operands.out ? operands.in - k : 0;
  };
  point_at(static_cast<int>(blockIdx.x) * kOutputs, warp);
#pragma unroll
  for (int s = 0; s < kSpansOfPart; ++s) weights.load(s);
  const SharedRows<T> shared(operands, norm, shared_memory());
  if constexpr (kSource == Source::kShared) shared.begin_weights();
  let_next_kernel_start();
  wait_for_previous_kernel();
  if constexpr (kSource == Source::kShared) shared.begin_rows();

  // After the rows, of whose last part more may be read than there is.
  float* partials = shared_memory<float>();
  if constexpr (kSource == Source::kShared)
    partials += SharedRows<T>::bytes(operands.rows, operands.in, norm.warps) / sizeof(float);
  const int rows = operands.rows - row < 8 * kGroups ? operands.rows - row : 8 * kGroups;
  const int own = static_cast<int>(threadIdx.x), own_row = row + own / kOutputs;
  int own_column = static_cast<int>(blockIdx.x) * kOutputs + own % kOutputs;
  const bool has_element = own < rows * kOutputs;
  const auto terms_of_column = [&] {
    return has_element && own_column < operands.out ? epilogue.terms(own_row, own_column)
                                                    : Epilogue::Terms{};
  };
  Epilogue::Terms terms = terms_of_column();  // under way with the rows
  if constexpr (kSource == Source::kShared) shared.finish_rows();
  int round = 0;
  for (int column = static_cast<int>(blockIdx.x) * kOutputs; column < operands.out;
       column += step) {
    float total = 0.0f;
    for (int first = 0; first < parts; first += warps, ++round) {
      const bool last = first + warps >= parts;
      const int part = first + warp;
      point_at(last ? column + step : column, last ? warp : part + warps);
      float sums[4] = {};
      multiply_part<T, kGroups, kSource>(operands,
                                         shared.lane_row() + (part < parts ? part : 0) * kPartBytes,
                                         row, part, weights, sums);
      // In the other half than before: sums there may still be read until the next barrier.
      float* partial = partials + round % 2 * warps * kTile<kGroups>;
      store_sums<kGroups>(sums, partial + warp * kTile<kGroups>);
      __syncthreads();
      const int count = parts - first < warps ? parts - first : warps;
      if (has_element) {
#pragma unroll 4
        for (int p = 0; p < count; ++p) total += partial[p * kTile<kGroups> + own];
      }
    }
    if (has_element && own_column < operands.out)
      epilogue.finish<T>(own_row, own_column, total, terms);
    own_column += step;
    terms = terms_of_column();
  }
}

/// The warps of a block, as many for each round of the parts.
template <class T>
int64_t warps_of(const LinearOperands& operands) {
  const int64_t parts = ceil_div(operands.in, kPart<T>);
  return ceil_div(parts, ceil_div(parts, kMaxWarps));
}

/// The warps of a block that has a thread for each of its outputs, too.
template <class T, int kGroups>
int64_t block_warps_of(const LinearOperands& operands) {
  const int64_t rows = std::min<int64_t>(operands.rows, 8 * kGroups);
  return std::max<int64_t>(warps_of<T>(operands), ceil_div(rows * kOutputs, kWarp));
}

template <class T>
size_t shared_bytes(const LinearOperands& operands, const NormOperand& norm) {
  return sums_bytes<1>(block_warps_of<T, 1>(operands)) +
         SharedRows<T>::bytes(operands.rows, operands.in, norm.warps);
}

/// Whether the rows fit in shared memory, twice on an SM.
template <class T>
bool fits_twice(const Device& device, const LinearOperands& operands, const NormOperand& norm) {
  return operands.rows <= kMaxSharedRows &&
         shared_bytes<T>(operands, norm) <= device.shared_per_block() / 2;
}

template <class T, int kGroups, Source kSource>
void launch_groups(Device& device, const LinearOperands& operands, const Epilogue& epilogue,
                   const NormOperand& norm = {}) {
  const int64_t warps = block_warps_of<T, kGroups>(operands),
                columns = ceil_div(operands.out, kOutputs);
  const int64_t resident =
                    std::max<int64_t>(kResidentWarps<kSource> / warps, 1) * device.processors(),
                tours = ceil_div(columns, resident);
  const LaunchShape shape{
      .grid = dim3(ceil_div(columns, tours), ceil_div(operands.rows, 8 * kGroups)),
      .block = dim3(warps * kWarp),
      .shared =
          kSource == Source::kShared ? shared_bytes<T>(operands, norm) : sums_bytes<kGroups>(warps),
      .may_start_early = true};
  launch(device, shape, few_rows_kernel<T, kGroups, kSource>, operands, epilogue, norm);
}

// A warp's share of a layernorm: more would take longer than a kernel of its own.
constexpr int kMaxNormItems = 4;

}  // namespace

bool few_rows_normalize(const Device& device, DType dtype, const LinearOperands& operands,
                        const LayerNormArgs& args) {
  bool result = false;
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    const NormOperand norm(args);
    result = operands.chunks_are_whole(sizeof(T)) && norm.aligned() && norm.is_held() &&
             operands.rows * norm.warps <= kMaxNormItems * warps_of<T>(operands) &&
             fits_twice<T>(device, operands, norm);
  });
  return result;
}

void linear_few_rows(Device& device, DType dtype, const LinearOperands& operands,
                     const Epilogue& epilogue, const LayerNormArgs* norm) {
  with_element(dtype, [&](auto element) {
    using T = decltype(element);
    if (norm != nullptr)
      launch_groups<T, 1, Source::kShared>(device, operands, epilogue, NormOperand(*norm));
    else if (!operands.chunks_are_whole(sizeof(T)))
      launch_groups<T, 2, Source::kAnywhere>(device, operands, epilogue);
    else if (fits_twice<T>(device, operands, {}))
      launch_groups<T, 1, Source::kShared>(device, operands, epilogue);
    else if (operands.rows <= 8)
      launch_groups<T, 1, Source::kAligned>(device, operands, epilogue);
    else
      launch_groups<T, 2, Source::kAligned>(device, operands, epilogue);
  });
}

}  // namespace vitrine::internal::cuda
