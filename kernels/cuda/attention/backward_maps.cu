// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/backward.cuh"
#include "kernels/cuda/attention/map_row.cuh"
#include "kernels/cuda/attention/map_tile.cuh"

// The maps of attention's gradient: what a caller wants to see, written apart from what dq, dk and
// dv are made of, as the forward pass's maps are (attention/maps.cu); and dq, dk and dv from whole
// maps, for edits in between and for heads that are too wide for the other kernels: a warp for each
// row of each head, in float32, its lanes taking every 32nd channel.

namespace vitrine::internal::cuda {
namespace {

constexpr int kWarps = 4, kQueries = kMapTileRows * kWarps;

/// Dot products of 16 rows of one matrix with a tile's rows of another. All is read where it lies.
template <class T>
VITRINE_DEVICE void dot(Scores<2>& products, const GradientHead<T>& head, const Mat& left,
                        int first, const Mat& right, int begin) {
  for (int span = 0; span * kSpan<T> < head.width(); ++span) {
    const Operand<T> top = operand<T>(head.chunk(left, first + lane_row(), span)),
                     bottom = operand<T>(head.chunk(left, first + lane_row() + 8, span));
    add_scores<T>(products[0], top, bottom,
                  [&](int key) { return head.chunk(right, begin + key, span); });
  }
}

template <class T, class Rows>
VITRINE_DEVICE void write_rows(const AttentionBackwardArgs& args, const GradientInputs& inputs,
                               float* pattern, const BatchView& batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const SequenceSlice slice = batch.sequences[blockIdx.x / args.heads];
  const GradientHead<T> head(args, inputs, slice, static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(blockIdx.y) * kQueries + kMapTileRows * warp_id();
  const auto rows = [&]() -> Rows {
    const QueryRows found{first + 1, std::clamp(head.rows - first, 0, +kMapTileRows)};
    if constexpr (Rows::kWindowed)
      return {found, static_cast<int>(args.window)};
    else
      return found;
  }();
  if (rows.count == 0) return;
  const bool weights = pattern != nullptr || args.dscores != nullptr,
             gradients = args.dpattern != nullptr || args.dscores != nullptr;
  float lse[2] = {}, delta[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + lane_row() + 8 * half;
    if (weights && row < head.rows) lse[half] = head.lse(row);
    if (args.dscores != nullptr && row < head.rows) delta[half] = head.delta(row);
  }
  const MapStage<T> stage(warp_id());
  const int64_t map = slice.map + (static_cast<int64_t>(head.head) * head.rows + first) * head.rows;
  const int step = static_cast<int>(gridDim.z) * kKeyTile;
  for (int begin = static_cast<int>(blockIdx.z) * kKeyTile; begin < head.rows; begin += step) {
    const auto part = [&](float* of) {
      return MapTile{of + map + begin, head.rows, rows.count,
                     std::min(head.rows - begin, +kKeyTile)};
    };
    if (!rows.any_sees(begin)) {
      if (pattern != nullptr) part(pattern).fill(0.0f);
      if (args.dpattern != nullptr) part(args.dpattern).fill(0.0f);
      if (args.dscores != nullptr) part(args.dscores).fill(0.0f);
      continue;
    }
    Scores<2> p = {}, dp = {};
    if (weights) {
      dot(p, head, args.q, first, args.k, begin);
      const ScoreScale by(args.scale);
      by.apply(p[0]);
      for_each_score<T, 2>(
          p, [&](int half, int, float& score) { score = share_of(score, by, lse[half]); });
      hide<T, 2>(p, rows, begin, 0.0f);
      if (pattern != nullptr) stage.write(p[0], part(pattern));
    }
    if (!gradients) continue;
    dot(dp, head, args.dz, first, args.v, begin);
    hide<T, 2>(dp, rows, begin, 0.0f);
    if (args.dpattern != nullptr) stage.write(dp[0], part(args.dpattern));
    if (args.dscores == nullptr) continue;
#pragma unroll
    for (int i = 0; i < 4 * kKeyBlocks; ++i)
      p[0][i / 4][i % 4] *= dp[0][i / 4][i % 4] - delta[i % 4 / 2];
    hide<T, 2>(p, rows, begin, 0.0f);
    stage.write(p[0], part(args.dscores));
  }
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    write(AttentionBackwardArgs args, GradientInputs inputs, float* pattern, BatchView batch) {
  write_rows<T, QueryRows>(args, inputs, pattern, batch);
}
template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    write_windows(AttentionBackwardArgs args, GradientInputs inputs, float* pattern,
                  BatchView batch) {
  write_rows<T, WindowRows>(args, inputs, pattern, batch);
}

__global__ void __launch_bounds__(kMapWarps* kWarp)
    differentiate_softmax(AttentionBackwardArgs args, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const MapRow at(batch, args.heads, args.window);
  if (at.slice == nullptr) return;
  const float *pattern = args.pattern + at.map, *dpattern = args.dpattern + at.map;
  double sum = 0.0;
  for (int key = at.first + lane_id(); key < at.length; key += kWarp)
    sum += static_cast<double>(pattern[key]) * static_cast<double>(dpattern[key]);
  const auto mean = static_cast<float>(warp_sum(sum));
  for (int key = lane_id(); key < at.total; key += kWarp) {
    args.dscores[at.map + key] =
        key >= at.first && key < at.length ? pattern[key] * (dpattern[key] - mean) : 0.0f;
  }
}

/// sum over i in [0, count) of weights[i * weight_step] * rows[i * row_step].
template <class T>
VITRINE_DEVICE float mixed(const float* weights, int64_t weight_step, const T* rows,
                           int64_t row_step, int count) {
  float sum = 0.0f;
  for (int i = 0; i < count; ++i)
    sum = fmaf(weights[i * weight_step], widen(rows[i * row_step]), sum);
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kMapWarps* kWarp)
    differentiate_inputs(AttentionBackwardArgs args, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const MapRow at(batch, args.heads, args.window);
  if (at.slice == nullptr) return;
  const GradientInputs none;
  const GradientHead<T> head(args, none, *at.slice, at.head);
  const int own = at.length - 1, keys = at.length - at.first;
  int queries = head.rows - own;  // that see the key
  if (args.window > 0 && args.window < queries) queries = static_cast<int>(args.window);
  const int64_t down = at.map + own;  // where its column of the map begins
  for (int c = lane_id(); c < head.width(); c += kWarp) {
    float dq = 0.0f, dk = 0.0f;
    if (!args.frozen) {
      dq = mixed(args.dscores + at.map + at.first, 1, head.row(args.k, at.first) + c, args.k.stride,
                 keys);
      dk = mixed(args.dscores + down, at.total, head.row(args.q, own) + c, args.q.stride, queries);
    }
    head.row(args.dq, own)[c] = narrow<T>(dq * args.scale);
    head.row(args.dk, own)[c] = narrow<T>(dk * args.scale);
    head.row(args.dv, own)[c] = narrow<T>(
        mixed(args.pattern + down, at.total, head.row(args.dz, own) + c, args.dz.stride, queries));
  }
}

}  // namespace

void write_gradient_maps(Device& device, const AttentionBackwardArgs& args,
                         const GradientInputs& inputs, float* pattern, const BatchView& batch) {
  dim3 grid = gradient_grid(args, kQueries);
  const int64_t tiles = gradient_grid(args, kKeyTile).y;
  grid.z = static_cast<unsigned>(map_blocks(device, int64_t{grid.x} * grid.y, tiles));
  with_element(args.dz.dtype, [&](auto element) {
    using T = decltype(element);
    const LaunchShape shape{.grid = grid,
                            .block = kWarps * kWarp,
                            .shared = kWarps * MapStage<T>::kFloats * sizeof(float),
                            .may_start_early = true};
    launch(device, shape, args.window > 0 ? write_windows<T> : write<T>, args, inputs, pattern,
           batch);
  });
}

void differentiate_softmax_of_maps(Device& device, const AttentionBackwardArgs& args,
                                   const BatchView& batch) {
  launch(device, warp_for_each_query(*args.batch, args.heads), differentiate_softmax, args, batch);
}

void differentiate_by_maps(Device& device, const AttentionBackwardArgs& args,
                           const BatchView& batch) {
  with_element(args.q.dtype, [&](auto element) {
    launch(device, warp_for_each_query(*args.batch, args.heads),
           differentiate_inputs<decltype(element)>, args, batch);
  });
}

}  // namespace vitrine::internal::cuda
