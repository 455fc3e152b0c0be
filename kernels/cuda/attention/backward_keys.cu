// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/backward.cuh"

// dk and dv: a block takes 64 keys of one head and walks over the queries that see them, from the
// diagonal on. The blocks with the most tiles, those of the first keys, begin first. Sums of 128
// channels of both are more than registers hold: there dk and dv have a kernel each, and the scores
// are computed twice.

namespace vitrine::internal::cuda {
namespace {

/// lse and delta of a tile's queries; values of queries outside the sequence are not used.
template <class S>
VITRINE_DEVICE void keep_numbers(const GradientMemory<S>& memory,
                                 const GradientHead<typename S::T>& head, int begin) {
  const int other = static_cast<int>(threadIdx.x), row = begin + other;
  if (other >= S::kOthers) return;
  memory.numbers(begin, 0)[other] = row < head.rows ? head.lse(row) : 0.0f;
  memory.numbers(begin, 1)[other] = row < head.rows && !head.args.frozen ? head.delta(row) : 0.0f;
}

/// Sets to 0 what belongs to a key that a query does not see. Where all see all, nothing is
/// compared.
template <class S, bool kWindowed>
VITRINE_DEVICE void hide_unseen(float (&values)[S::kBlocks][4],
                                const GradientHead<typename S::T>& head, int own, int begin) {
  const int window = kWindowed ? static_cast<int>(head.args.window) : 0;
  if (begin >= own + 15 && begin + S::kOthers <= head.rows &&
      (!kWindowed || begin + S::kOthers <= own + window))
    return;
#pragma unroll
  for (int i = 0; i < 2 * S::kLaneOthers; ++i) {
    const int place = i / 2, half = i % 2, query = begin + other_of<typename S::T>(place);
    const int key = own + lane_row() + 8 * half;
    if (key > query || query >= head.rows || (kWindowed && query >= key + window))
      values[place / 2][2 * half + place % 2] = 0.0f;
  }
}

/// P of own keys by queries, from unscaled scores.
template <class S, bool kWindowed>
VITRINE_DEVICE void turn_to_pattern(float (&scores)[S::kBlocks][4],
                                    const GradientHead<typename S::T>& head, int own, int begin,
                                    const float* lse) {
  const ScoreScale by(head.args.scale);
  by.apply(scores);
#pragma unroll
  for (int i = 0; i < S::kLaneOthers; ++i) {
    const float its = lse[other_of<typename S::T>(i)];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float& score = scores[i / 2][2 * half + i % 2];
      score = share_of(score, by, its);
    }
  }
  hide_unseen<S, kWindowed>(scores, head, own, begin);
}

enum class Wanted { kBoth, kKeys, kValues };

template <class S, Wanted kWanted, bool kWindowed>
struct KeySums {
  using T = typename S::T;
  float dk[S::kChannelBlocks][4] = {}, dv[S::kChannelBlocks][4] = {};

  /// The tile of queries that begins at `begin`, for the keys from `own` on.
  VITRINE_DEVICE void add_tile(const GradientMemory<S>& memory, const GradientHead<T>& head,
                               int own, int begin) {
    float pattern[S::kBlocks][4] = {};
    memory.dot(pattern, 0, begin);
    turn_to_pattern<S, kWindowed>(pattern, head, own, begin, memory.numbers(begin, 0));
    if constexpr (kWanted != Wanted::kKeys)
      add(dv, GradientWeights<S>([&](int half, int i) { return pattern[i / 2][2 * half + i % 2]; }),
          memory.tile(begin, 1), head, own - begin);
    if (kWanted == Wanted::kValues || head.args.frozen) return;
    float gradients[S::kBlocks][4] = {};
    memory.dot(gradients, 1, begin);
    const float* delta = memory.numbers(begin, 1);
#pragma unroll
    for (int i = 0; i < 2 * S::kLaneOthers; ++i) {
      const int place = i / 2, at = i % 2 * 2 + place % 2;
      pattern[place / 2][at] *= gradients[place / 2][at] - delta[other_of<T>(place)];
    }
    hide_unseen<S, kWindowed>(pattern, head, own, begin);  // 0 times a NaN would be one
    const GradientWeights<S> dscores(
        [&](int half, int i) { return pattern[i / 2][2 * half + i % 2]; });
    add(dk, dscores, memory.tile(begin, 0), head, own - begin);
  }

 private:
  /// `before`: how many of the tile's queries come before the first own key.
  static VITRINE_DEVICE void add(float (&sums)[S::kChannelBlocks][4],
                                 const GradientWeights<S>& weights, const OthersTile<S>& queries,
                                 const GradientHead<T>& head, int before) {
    const auto right = [&](int block, int span) { return queries.crosswise(block, span); };
    const int end = kWindowed ? before + static_cast<int>(head.args.window) : 0;  // of first key's
    if (before + 15 <= 0 && (!kWindowed || S::kOthers <= end))
      return add_products<S>(sums, weights, {true, true}, right);
    const auto seen_by = [&](int row, int bottom, int span, Chunk chunk) {
      if constexpr (kWindowed) chunk = first_of<T>(chunk, end + bottom - lane_key<T>(span));
      return without_first<T>(chunk, before + row - lane_key<T>(span));
    };
    add_masked_products<S>(sums, weights, right, seen_by);
  }
};

template <class T, int kWidth, Wanted kWanted, bool kWindowed>
VITRINE_DEVICE void differentiate_block(const AttentionBackwardArgs& args,
                                        const GradientInputs& inputs, const BatchView& batch) {
  using S = KeysShape<T, kWidth>;
  const GradientMemory<S> memory;
  wait_for_previous_kernel();
  let_next_kernel_start();
  const GradientHead<T> head(args, inputs, batch.sequences[blockIdx.x / args.heads],
                             static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(blockIdx.y) * kGradientRows, own = first + 16 * warp_id();
  if (first >= head.rows) return;
  const auto fill = [&](int begin) {
    keep_numbers(memory, head, begin);
    memory.fill(head, args.q, args.dz, begin);
  };
  int end = kWanted == Wanted::kKeys && args.frozen ? first : head.rows;
  // The last query that sees key i is i + window - 1.
  const int reach = kWindowed ? static_cast<int>(args.window) - 1 : 0;
  if (kWindowed) end = std::min(end, first + kGradientRows + reach);
  if (first < end) fill(first);
  memory.keep_own(head, args.k, args.v, own);
  KeySums<S, kWanted, kWindowed> sums;
  for (int begin = first; begin < end; begin += S::kOthers) {
    copy_async_wait<0>();
    __syncthreads();  // the tile has arrived, and no thread reads the other half any more
    if (begin + S::kOthers < end) fill(begin + S::kOthers);
    if (begin + S::kOthers > own && (!kWindowed || begin < own + 16 + reach))
      sums.add_tile(memory, head, own, begin);
  }
  if constexpr (kWanted != Wanted::kValues)
    store_gradient<T>(sums.dk, args.scale, head, args.dk, own);
  if constexpr (kWanted != Wanted::kKeys) store_gradient<T>(sums.dv, 1.0f, head, args.dv, own);
}

template <class T, int kWidth, Wanted kWanted>
__global__ void __launch_bounds__(kGradientThreads, 1)
    differentiate(AttentionBackwardArgs args, GradientInputs inputs, BatchView batch) {
  differentiate_block<T, kWidth, kWanted, false>(args, inputs, batch);
}
template <class T, int kWidth, Wanted kWanted>
__global__ void __launch_bounds__(kGradientThreads, 1)
    differentiate_windows(AttentionBackwardArgs args, GradientInputs inputs, BatchView batch) {
  differentiate_block<T, kWidth, kWanted, true>(args, inputs, batch);
}

template <class T, int kWidth, Wanted kWanted>
void launch_for(Device& device, const AttentionBackwardArgs& args, const GradientInputs& inputs) {
  const LaunchShape shape{.grid = gradient_grid(args, kGradientRows),
                          .block = kGradientThreads,
                          .shared = GradientMemory<KeysShape<T, kWidth>>::kBytes,
                          .may_start_early = true};
  const auto kernel = args.window > 0 ? differentiate_windows<T, kWidth, kWanted>
                                      : differentiate<T, kWidth, kWanted>;
  launch(device, shape, kernel, args, inputs, view(*args.batch));
}

}  // namespace

void differentiate_keys(Device& device, const AttentionBackwardArgs& args,
                        const GradientInputs& inputs) {
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using T = decltype(element);
    if constexpr (width.value <= 64) {
      launch_for<T, width.value, Wanted::kBoth>(device, args, inputs);
    } else {
      launch_for<T, width.value, Wanted::kKeys>(device, args, inputs);
      launch_for<T, width.value, Wanted::kValues>(device, args, inputs);
    }
  });
}

}  // namespace vitrine::internal::cuda
