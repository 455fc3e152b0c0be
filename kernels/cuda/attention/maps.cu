// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"
#include "kernels/cuda/attention/map_tile.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Attention maps. z is not computed from them: a separate kernel recomputes the scores, in the same
// order of sums, and the pattern as exp(score - lse). A block takes 64 queries, 16 in each warp,
// and tiles of keys as far apart as there are blocks along the keys.

namespace vitrine::internal::cuda {
namespace {

constexpr int kWarps = 4, kQueries = kMapTileRows * kWarps;

/// Turns scores into the pattern; `lse` of the rows l / 4 and 8 more.
template <class T, class Rows>
VITRINE_DEVICE void turn_to_pattern(Scores<2>& scores, const float (&lse)[2], const Rows& rows,
                                    int begin) {
  for_each_score<T, 2>(scores, [&](int half, int, float& score) {
    score = share_of(score, ScoreScale(1.0f), lse[half]);
  });
  hide<T, 2>(scores, rows, begin, 0.0f);
}

template <class T, class Rows>
VITRINE_DEVICE void write_rows(const AttentionArgs& args, const BatchView& batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const SequenceSlice slice = batch.sequences[blockIdx.x / args.heads];
  const HeadView<T> head(args, slice, static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(blockIdx.y) * kQueries + kMapTileRows * warp_id(),
            total = head.past + head.rows;
  const Rows rows = head.template queries<Rows>(first);
  if (rows.count == 0) return;
  float lse[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane_row() + 8 * half;
    if (args.pattern != nullptr && row < rows.count) lse[half] = *head.lse(first + row);
  }
  const MapStage<T> stage(warp_id());
  const int64_t map = slice.map + (static_cast<int64_t>(head.head) * head.rows + first) * total;
  const int step = static_cast<int>(gridDim.z) * kKeyTile;
  for (int begin = static_cast<int>(blockIdx.z) * kKeyTile; begin < total; begin += step) {
    const auto part = [&](float* of) {
      return MapTile{of + map + begin, total, rows.count, std::min(total - begin, +kKeyTile)};
    };
    if (!rows.any_sees(begin)) {
      if (args.scores != nullptr) part(args.scores).fill(kMasked);
      if (args.pattern != nullptr) part(args.pattern).fill(0.0f);
      continue;
    }
    Scores<2> scores = {};
    head.add_all_scores(scores[0], first, begin);
    for_each_score<T, 2>(scores, [&](int, int, float& score) { score *= args.scale; });
    hide<T, 2>(scores, rows, begin, kMasked);
    if (args.scores != nullptr) stage.write(scores[0], part(args.scores));
    if (args.pattern == nullptr) continue;
    turn_to_pattern<T>(scores, lse, rows, begin);
    stage.write(scores[0], part(args.pattern));
  }
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp) write(AttentionArgs args, BatchView batch) {
  write_rows<T, QueryRows>(args, batch);
}
template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    write_windows(AttentionArgs args, BatchView batch) {
  write_rows<T, WindowRows>(args, batch);
}

}  // namespace

void write_maps(Device& device, const AttentionArgs& args, int64_t tiles) {
  const int64_t longest = longest_rows(args);
  const auto heads = static_cast<int64_t>(head_count(args)), down = ceil_div(longest, kQueries);
  with_element(args.q.dtype, [&](auto element) {
    using T = decltype(element);
    const LaunchShape shape{
        .grid = dim3(heads, down, map_blocks(device, std::max<int64_t>(1, heads * down), tiles)),
        .block = kWarps * kWarp,
        .shared = kWarps * MapStage<T>::kFloats * sizeof(float),
        .may_start_early = true};
    launch(device, shape, args.window > 0 ? write_windows<T> : write<T>, args, view(*args.batch));
  });
}

}  // namespace vitrine::internal::cuda
