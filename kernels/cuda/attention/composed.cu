// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"
#include "kernels/cuda/attention/map_row.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// The last two of attention's steps over whole maps, for edits in between; the first is
// write_maps(). The softmax has the bits of the maps that attention() itself gives. z cannot have
// those of attention(), which mixes values before it knows the sums: here each warp mixes one
// query's, in float32, its lanes taking every 32nd position.

namespace vitrine::internal::cuda {
namespace {

/// The softmax over a row of scores, joined from tiles as in the other kernels: four lanes take a
/// tile, the warp eight at a time.
template <class T>
VITRINE_DEVICE PartialSoftmax row_softmax(const float* scores, int length) {
  PartialSoftmax all;
  for (int begin = 0; begin < length; begin += 8 * kKeyTile) {
    float x[kLaneKeys];
#pragma unroll
    for (int i = 0; i < kLaneKeys; ++i) {
      const int key = begin + lane_row() * kKeyTile + lane_key<T>(i / kChunk<T>) + i % kChunk<T>;
      x[i] = key < length ? scores[key] : kMasked;
    }
    const PartialSoftmax own = tile_softmax(x, ScoreScale(1.0f));
    for (int tile = 0; tile < 8; ++tile)
      join(all, {shuffle(own.highest, 4 * tile), shuffle(own.sum, 4 * tile)});
  }
  return all;
}

template <class T>
__global__ void __launch_bounds__(kMapWarps* kWarp) softmax(AttentionArgs args, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const MapRow at(batch, args.heads, args.window);
  if (at.slice == nullptr) return;
  const float lse = log_sum_exp(row_softmax<T>(args.scores + at.map, at.length));
  if (args.lse.data != nullptr && lane_id() == 0)
    reinterpret_cast<float*>(args.lse.data)[at.row * args.lse.stride + at.head] = lse;
  for (int key = lane_id(); key < at.total; key += kWarp) {
    args.pattern[at.map + key] = key >= at.first && key < at.length
                                     ? share_of(args.scores[at.map + key], ScoreScale(1.0f), lse)
                                     : 0.0f;
  }
}

template <class T>
__global__ void __launch_bounds__(kMapWarps* kWarp)
    mix_values(AttentionArgs args, BatchView batch) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const MapRow at(batch, args.heads, args.window);
  if (at.slice == nullptr) return;
  const HeadView<T> head(args, *at.slice, at.head);
  T* z = head.z(at.row - head.first_row);
  constexpr int kAtOnce = 8;
  for (int first = 0; first < head.width(); first += kAtOnce) {
    float sums[kAtOnce] = {};
    for (int key = at.first + lane_id(); key < at.length; key += kWarp) {
      const float share = args.pattern[at.map + key];
#pragma unroll
      for (int c = 0; c < kAtOnce; ++c) {
        const int channel = std::min(first + c, head.width() - 1);
        sums[c] = fmaf(share, widen(head.value(channel)[key]), sums[c]);
      }
    }
#pragma unroll
    for (int c = 0; c < kAtOnce; ++c) {
      const float sum = warp_sum(sums[c]);
      if (lane_id() == c && first + c < head.width()) z[first + c] = narrow<T>(sum);
    }
  }
}

}  // namespace
}  // namespace vitrine::internal::cuda

namespace vitrine::internal {

using namespace cuda;

void CudaBackend::attention_softmax(const AttentionArgs& args) {
  with_element(args.q.dtype, [&](auto element) {
    launch(*device_, warp_for_each_query(*args.batch, args.heads), softmax<decltype(element)>, args,
           view(*args.batch));
  });
}

void CudaBackend::attention_mix(const AttentionArgs& args) {
  with_element(args.q.dtype, [&](auto element) {
    launch(*device_, warp_for_each_query(*args.batch, args.heads), mix_values<decltype(element)>,
           args, view(*args.batch));
  });
}

}  // namespace vitrine::internal
