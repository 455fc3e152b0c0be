// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/backward.cuh"

// dq: a block takes 64 queries of one head and walks over the keys that they see. The blocks with
// the most tiles, those of the last queries, begin first.

namespace vitrine::internal::cuda {
namespace {

/// Blocks that are to share a processor: this caps their registers where that costs nothing.
template <class T, int kWidth>
[[maybe_unused]] constexpr int kNeighbours = kWidth == 64 && sizeof(T) == 2 ? 3 : 1;

template <class T, int kWidth>
__global__ void __launch_bounds__(kGradientThreads, kNeighbours<T, kWidth>)
    differentiate(AttentionBackwardArgs args, GradientInputs inputs, BatchView batch) {
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
  if (end > 0) memory.fill(head, args.k, args.v, 0);
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
  for (int begin = 0; begin < end; begin += S::kOthers) {
    copy_async_wait<0>();
    __syncthreads();  // the tile has arrived, and no thread reads the other half any more
    if (begin + S::kOthers < end) memory.fill(head, args.k, args.v, begin + S::kOthers);
    if (begin >= own + 16) continue;
    float scores[S::kBlocks][4] = {}, gradients[S::kBlocks][4] = {};
    memory.dot(scores, 0, begin);
    memory.dot(gradients, 1, begin);
    by.apply(scores);
#pragma unroll
    for (int i = 0; i < 4 * S::kBlocks; ++i) {
      float& score = scores[i / 4][i % 4];
      score = share_of(score, by, lse[i % 4 / 2]) * (gradients[i / 4][i % 4] - delta[i % 4 / 2]);
    }
    const bool whole = begin + S::kOthers <= own + 1;  // each query sees all of the tile
    if (!whole) {
#pragma unroll
      for (int i = 0; i < 2 * S::kLaneOthers; ++i) {
        const int place = i / 2, half = i % 2;
        if (begin + other_of<T>(place) > own + lane_row() + 8 * half)
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
      add_masked_products<S>(sums, dscores, 15, right, [&](int row, int span, const Chunk& chunk) {
        return first_of<T>(chunk, own + row + 1 - begin - lane_key<T>(span));
      });
    }
  }
  store_gradient<T>(sums, args.scale, head, args.dq, own);
}

}  // namespace

void differentiate_queries(Device& device, const AttentionBackwardArgs& args,
                           const GradientInputs& inputs) {
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    const LaunchShape shape{
        .grid = gradient_grid(args, kGradientRows),
        .block = kGradientThreads,
        .shared = GradientMemory<QueriesShape<decltype(element), width.value>>::kBytes,
        .may_start_early = true};
    launch(device, shape, differentiate<decltype(element), width.value>, args, inputs,
           view(*args.batch));
  });
}

}  // namespace vitrine::internal::cuda
