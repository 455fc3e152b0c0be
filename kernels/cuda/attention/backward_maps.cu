// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/backward.cuh"
#include "kernels/cuda/attention/map_row.cuh"

// The maps of attention's gradient: what a caller wants to see, written apart from what dq, dk and
// dv are made of, as the forward pass's maps are (attention/maps.cu); and dq, dk and dv from whole
// maps, for edits in between and for heads that are too wide for the other kernels: a warp for each
// row of each head, in float32, its lanes taking every 32nd channel.

namespace vitrine::internal::cuda {
namespace {

constexpr int kWarps = 4, kQueries = 16 * kWarps;
constexpr int kStageStride = kKeyTile + 1;  // so that the lanes' rows begin in different banks
constexpr int kStageFloats = 16 * kStageStride;

/// Dot products of 16 rows of one matrix with a tile's rows of another, to [16][kStageStride]. All
/// is read where it lies.
template <class T>
VITRINE_DEVICE void dot_to(float* stage, const GradientHead<T>& head, const Mat& left, int first,
                           const Mat& right, int begin) {
  float products[kKeyBlocks][4] = {};
  for (int span = 0; span * kSpan<T> < head.width(); ++span) {
    const Operand<T> top = operand<T>(head.chunk(left, first + lane_row(), span)),
                     bottom = operand<T>(head.chunk(left, first + lane_row() + 8, span));
    add_scores<T>(products, top, bottom,
                  [&](int key) { return head.chunk(right, begin + key, span); });
  }
#pragma unroll
  for (int i = 0; i < 4 * kKeyBlocks; ++i) {
    const int block = i / 4, row = lane_row() + i % 4 / 2 * 8;
    stage[row * kStageStride + key_of<T>(block, 2 * lane_quad() + i % 2)] = products[block][i % 4];
  }
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    write(AttentionBackwardArgs args, GradientInputs inputs, float* pattern, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const SequenceSlice slice = batch.sequences[blockIdx.x / args.heads];
  const GradientHead<T> head(args, inputs, slice, static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(blockIdx.y) * kQueries + 16 * warp_id(),
            begin = static_cast<int>(blockIdx.z) * kKeyTile;
  if (first >= head.rows || begin >= head.rows) return;

  const bool weights = pattern != nullptr || args.dscores != nullptr,
             gradients = args.dpattern != nullptr || args.dscores != nullptr;
  float *score = shared_memory<float>() + 2 * warp_id() * kStageFloats,
        *dpattern = score + kStageFloats;
  if (begin < first + 16) {
    if (weights) dot_to(score, head, args.q, first, args.k, begin);
    if (gradients) dot_to(dpattern, head, args.dz, first, args.v, begin);
  }
  __syncwarp();
  for (int row = first; row < first + 16 && row < head.rows; ++row) {
    const int64_t to =
        slice.map + (static_cast<int64_t>(head.head) * head.rows + row) * head.rows + begin;
    const float lse = weights ? head.lse(row) : 0.0f,
                delta = args.dscores != nullptr ? head.delta(row) : 0.0f;
    for (int key = lane_id(); key < kKeyTile && begin + key < head.rows; key += kWarp) {
      const bool seen = begin + key <= row;
      const int at = (row - first) * kStageStride + key;
      const float p = seen && weights ? expf(score[at] * args.scale - lse) : 0.0f,
                  dp = seen && gradients ? dpattern[at] : 0.0f;
      if (pattern != nullptr) pattern[to + key] = p;
      if (args.dpattern != nullptr) args.dpattern[to + key] = dp;
      if (args.dscores != nullptr) args.dscores[to + key] = seen ? p * (dp - delta) : 0.0f;
    }
  }
}

__global__ void __launch_bounds__(kMapWarps* kWarp)
    differentiate_softmax(AttentionBackwardArgs args, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const MapRow at(batch, args.heads);
  if (at.slice == nullptr) return;
  const float *pattern = args.pattern + at.map, *dpattern = args.dpattern + at.map;
  double sum = 0.0;
  for (int key = lane_id(); key < at.length; key += kWarp)
    sum += static_cast<double>(pattern[key]) * static_cast<double>(dpattern[key]);
  const auto mean = static_cast<float>(warp_sum(sum));
  for (int key = lane_id(); key < at.total; key += kWarp) {
    args.dscores[at.map + key] = key < at.length ? pattern[key] * (dpattern[key] - mean) : 0.0f;
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
  const MapRow at(batch, args.heads);
  if (at.slice == nullptr) return;
  const GradientInputs none;
  const GradientHead<T> head(args, none, *at.slice, at.head);
  const int own = at.length - 1, behind = head.rows - own;  // queries that see the key
  const int64_t down = at.map + own;                        // where its column of the map begins
  for (int c = lane_id(); c < head.width(); c += kWarp) {
    float dq = 0.0f, dk = 0.0f;
    if (!args.frozen) {
      dq = mixed(args.dscores + at.map, 1, head.row(args.k, 0) + c, args.k.stride, at.length);
      dk = mixed(args.dscores + down, at.total, head.row(args.q, own) + c, args.q.stride, behind);
    }
    head.row(args.dq, own)[c] = narrow<T>(dq * args.scale);
    head.row(args.dk, own)[c] = narrow<T>(dk * args.scale);
    head.row(args.dv, own)[c] = narrow<T>(
        mixed(args.pattern + down, at.total, head.row(args.dz, own) + c, args.dz.stride, behind));
  }
}

}  // namespace

void write_gradient_maps(Device& device, const AttentionBackwardArgs& args,
                         const GradientInputs& inputs, float* pattern, const BatchView& batch) {
  dim3 grid = gradient_grid(args, kQueries);
  grid.z = gradient_grid(args, kKeyTile).y;
  const LaunchShape shape{.grid = grid,
                          .block = kWarps * kWarp,
                          .shared = 2 * kWarps * kStageFloats * sizeof(float),
                          .may_start_early = true};
  with_element(args.dz.dtype, [&](auto element) {
    launch(device, shape, write<decltype(element)>, args, inputs, pattern, batch);
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
