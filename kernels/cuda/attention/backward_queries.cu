// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/backward.cuh"

// dq: a block takes 64 queries of one head and walks over the keys that they see. The blocks with
// the most tiles, those of the last queries, begin first.

namespace vitrine::internal::cuda {
namespace {

/// Blocks that are to share a processor: this caps their registers where that costs nothing.
template <class T, int kWidth>
[[maybe_unused]] constexpr int kNeighbours = kWidth == 64 && sizeof(T) == 2 ? 3 : 1;

template <class T, int kWidth, bool kWindowed>
VITRINE_DEVICE void differentiate_block(const AttentionBackwardArgs& args,
                                        const GradientInputs& inputs, const BatchView& batch) {
  using S = QueriesShape<T, kWidth>;
  const GradientMemory<S> memory;
  wait_for_previous_kernel();
  let_next_kernel_start();
  const GradientHead<T> head(args, inputs, batch.sequences[blockIdx.x / args.heads],
                             static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kGradientRows,
            own = first + 16 * warp_id();
  if (first >= head.rows) return;
  const int end = args.frozen ? 0 : std::min(first + kGradientRows, head.rows);
  // Query i sees the keys from i + 1 - window on.
  const int window = kWindowed ? static_cast<int>(args.window) : 0,
            first_tile = kWindowed ? std::max(first + 1 - window, 0) / S::kOthers * S::kOthers : 0;
  if (end > 0) memory.fill(head, args.k, args.v, first_tile);
  memory.keep_own(head, args.q, args.dz, own);
  const ScoreScale by(args.scale);
  float lse[2] = {}, delta[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = own + lane_row() + 8 * half;
    if (row >= end) continue;
    lse[half] = head.lse(row);
    delta[half] = head.delta(row);
  }

  float sums[S::kChannelBlocks][4] = {};
  for (int begin = first_tile; begin < end; begin += S::kOthers) {
    copy_async_wait<0>();
    __syncthreads();  // the tile has arrived, and no thread reads the other half any more
    if (begin + S::kOthers < end) memory.fill(head, args.k, args.v, begin + S::kOthers);
    if (begin >= own + 16 || (kWindowed && begin + S::kOthers <= own + 1 - window)) continue;
    float scores[S::kBlocks][4] = {}, gradients[S::kBlocks][4] = {};
    memory.dot(scores, 0, begin);
    memory.dot(gradients, 1, begin);
    by.apply(scores);
#pragma unroll
    for (int i = 0; i < 4 * S::kBlocks; ++i) {
      float& score = scores[i / 4][i % 4];
      score = share_of(score, by, lse[i % 4 / 2]) * (gradients[i / 4][i % 4] - delta[i % 4 / 2]);
    }
    const bool whole = begin + S::kOthers <= own + 1 &&
                       (!kWindowed || begin >= own + 16 - window);  // each query sees all of it
    if (!whole) {
#pragma unroll
      for (int i = 0; i < 2 * S::kLaneOthers; ++i) {
        const int place = i / 2, half = i % 2;
        const int key = begin + other_of<T>(place), query = own + lane_row() + 8 * half;
        if (key > query || (kWindowed && key <= query - window))
          scores[place / 2][2 * half + place % 2] = 0.0f;
      }
    }
    const GradientWeights<S> dscores(
        [&](int half, int i) { return scores[i / 2][2 * half + i % 2]; });
    const auto keys = memory.tile(begin, 0);
    const auto right = [&](int block, int span) { return keys.crosswise(block, span); };
    if (whole) {
      add_products<S>(sums, dscores, {true, true}, right);
    } else {
      const auto seen_by = [&](int top, int row, int span, Chunk chunk) {
        chunk = first_of<T>(chunk, own + row + 1 - begin - lane_key<T>(span));
        if constexpr (kWindowed)
          chunk = without_first<T>(chunk, own + top + 1 - window - begin - lane_key<T>(span));
        return chunk;
      };
      add_masked_products<S>(sums, dscores, right, seen_by);
    }
  }
  store_gradient<T>(sums, args.scale, head, args.dq, own);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kGradientThreads, kNeighbours<T, kWidth>)
    differentiate(AttentionBackwardArgs args, GradientInputs inputs, BatchView batch) {
  differentiate_block<T, kWidth, false>(args, inputs, batch);
}
template <class T, int kWidth>
__global__ void __launch_bounds__(kGradientThreads, kNeighbours<T, kWidth>)
    differentiate_windows(AttentionBackwardArgs args, GradientInputs inputs, BatchView batch) {
  differentiate_block<T, kWidth, true>(args, inputs, batch);
}

}  // namespace

void differentiate_queries(Device& device, const AttentionBackwardArgs& args,
                           const GradientInputs& inputs) {
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using T = decltype(element);
    const LaunchShape shape{.grid = gradient_grid(args, kGradientRows),
                            .block = kGradientThreads,
                            .shared = GradientMemory<QueriesShape<T, width.value>>::kBytes,
                            .may_start_early = true};
    const auto kernel =
        args.window > 0 ? differentiate_windows<T, width.value> : differentiate<T, width.value>;
    launch(device, shape, kernel, args, inputs, view(*args.batch));
  });
}

}  // namespace vitrine::internal::cuda
