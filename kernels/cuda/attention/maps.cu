// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Attention maps. z is not computed from them: a separate kernel recomputes the scores, in the same
// order of sums, and the pattern as exp(score - lse). A block writes 64 queries' part of one tile
// of keys; a warp's 16 rows of scores pass through shared memory, so that rows are written by
// neighbouring lanes.

namespace vitrine::internal::cuda {
namespace {

constexpr int kWarps = 4, kQueries = 16 * kWarps;
constexpr int kStageStride = kKeyTile + 1;  // so that the lanes' rows begin in different banks

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp) write(AttentionArgs args, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const SequenceSlice slice = batch.sequences[blockIdx.x / args.heads];
  const int head_index = static_cast<int>(blockIdx.x) % args.heads;
  const HeadView<T> head(args, slice, head_index);
  const int first = static_cast<int>(blockIdx.y) * kQueries + 16 * warp_id(),
            begin = static_cast<int>(blockIdx.z) * kKeyTile;
  const QueryRows rows = head.queries(first);
  const int total = head.past + head.rows;
  if (rows.count == 0 || begin >= total) return;

  float* stage = shared_memory<float>() + warp_id() * 16 * kStageStride;
  if (begin < rows.longest()) {
    float scores[kKeyBlocks][4] = {};
    head.add_all_scores(scores, first, begin);
#pragma unroll
    for (int i = 0; i < 4 * kKeyBlocks; ++i) {
      const int block = i / 4, row = lane_row() + i % 4 / 2 * 8;
      stage[row * kStageStride + key_of<T>(block, 2 * lane_quad() + i % 2)] =
          scores[block][i % 4] * args.scale;
    }
  }
  __syncwarp();
  for (int row = 0; row < rows.count; ++row) {
    const int64_t to =
        slice.map + (static_cast<int64_t>(head_index) * head.rows + first + row) * total + begin;
    const float lse = args.pattern == nullptr ? 0.0f : *head.lse(first + row);
    for (int key = lane_id(); key < kKeyTile && begin + key < total; key += kWarp) {
      const bool seen = begin + key < rows.length(row);
      const float score = seen ? stage[row * kStageStride + key] : kMasked;
      if (args.scores != nullptr) args.scores[to + key] = score;
      if (args.pattern != nullptr) args.pattern[to + key] = seen ? expf(score - lse) : 0.0f;
    }
  }
}

}  // namespace

void write_maps(Device& device, const AttentionArgs& args, int64_t tiles) {
  int64_t longest = 0;
  for (const SequenceSlice& slice : args.batch->sequences) longest = std::max(longest, slice.rows);
  with_element(args.q.dtype, [&](auto element) {
    const LaunchShape shape{.grid = dim3(head_count(args), ceil_div(longest, kQueries), tiles),
                            .block = kWarps * kWarp,
                            .shared = kWarps * 16 * kStageStride * sizeof(float),
                            .may_start_early = true};
    launch(device, shape, write<decltype(element)>, args, view(*args.batch));
  });
}

}  // namespace vitrine::internal::cuda
