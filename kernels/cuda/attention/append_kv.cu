// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/device/kv_layout.cuh"
#include "kernels/cuda/runtime/batch.h"
#include "kernels/cuda/runtime/cuda_backend.h"
#include "kernels/cuda/runtime/launch.h"

// New keys and values go to the cache. A block takes 32 rows and 64 channels of a head: keys are
// copied row by row; values pass through shared memory, so that neighbouring lanes read
// neighbouring channels and write neighbouring positions.

namespace vitrine::internal {
namespace {

using namespace cuda;

constexpr int kWarps = 4, kRows = 32, kChannels = 64;
constexpr int64_t kNone = -1;  // the place of a row that belongs to no sequence
template <class T>
constexpr int kStageStride =
    kChannels + 4 / static_cast<int>(sizeof(T));  // a column's elements lie in different banks

template <class T>
struct CachePlace {
  KvLayout<T> layout;
  std::byte* cache = nullptr;  // of the sequence; null for a row that belongs to none
  int64_t position = 0;
};

template <class T>
VITRINE_DEVICE CachePlace<T> place_of(const BatchView& batch, int row, int heads, int width,
                                      std::byte* cache) {
  const int s = row < batch.rows ? batch.sequence_of_row[row] : -1;
  if (s < 0) return {};
  const SequenceSlice& slice = batch.sequences[s];
  return {{heads, width, slice.capacity}, cache + slice.cache, slice.past + row - slice.row};
}

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    append(BatchView batch, const T* k, int64_t k_stride, const T* v, int64_t v_stride, int heads,
           int width, std::byte* cache) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  T* stage = shared_memory<T>();
  const int head = static_cast<int>(blockIdx.y), first_row = static_cast<int>(blockIdx.x) * kRows;
  const int first_channel = static_cast<int>(blockIdx.z) * kChannels;
  // A lane finds the place of one of the block's rows; all rows of a warp are read at once.
  static_assert(kRows == kWarp);
  const CachePlace<T> own = place_of<T>(batch, first_row + lane_id(), heads, width, cache);
  const int64_t padded_width = KvLayout<T>{heads, width, 0}.padded_width();
  const int64_t own_key = own.cache == nullptr
                              ? kNone
                              : reinterpret_cast<std::byte*>(own.layout.keys(own.cache, head) +
                                                             own.position * padded_width) -
                                    cache;
  constexpr int kOfWarp = kRows / kWarps, kOfLane = kChannels / kWarp;
  T keys[kOfWarp][kOfLane], values[kOfWarp][kOfLane];
#pragma unroll
  for (int r = 0; r < kOfWarp; ++r) {
    const int i = warp_id() + r * kWarps;
    const bool is_there = shuffle(own_key, i) != kNone;
#pragma unroll
    for (int j = 0; j < kOfLane; ++j) {
      const int channel = first_channel + lane_id() + j * kWarp, column = head * width + channel;
      const int64_t row = first_row + i;
      keys[r][j] = is_there && channel < width ? k[row * k_stride + column] : T{};
      values[r][j] = is_there && channel < width ? v[row * v_stride + column] : T{};
    }
  }
#pragma unroll
  for (int r = 0; r < kOfWarp; ++r) {
    const int i = warp_id() + r * kWarps;
    const int64_t at = shuffle(own_key, i);
#pragma unroll
    for (int j = 0; j < kOfLane; ++j) {
      const int c = lane_id() + j * kWarp, channel = first_channel + c;
      if (at != kNone && channel < padded_width)
        reinterpret_cast<T*>(cache + at)[channel] = keys[r][j];
      stage[i * kStageStride<T> + c] = values[r][j];
    }
  }
  __syncthreads();
  if (own.cache == nullptr) return;
  T* to = own.layout.values(own.cache, head) + own.position;
  for (int c = warp_id(); c < kChannels && first_channel + c < width; c += kWarps) {
    to[(first_channel + c) * own.layout.padded_capacity()] = stage[lane_id() * kStageStride<T> + c];
  }
}

}  // namespace

size_t CudaBackend::kv_bytes(int64_t capacity, int heads, int head_width, DType dtype) const {
  size_t bytes = 0;
  with_element(dtype, [&](auto element) {
    bytes = KvLayout<decltype(element)>{heads, head_width, capacity}.bytes();
  });
  return bytes;
}

void CudaBackend::append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                            std::byte* cache) {
  with_element(k.dtype, [&](auto element) {
    using T = decltype(element);
    const LaunchShape shape{
        .grid = dim3(ceil_div(batch_rows(batch), kRows), heads, ceil_div(head_width, kChannels)),
        .block = kWarps * kWarp,
        .shared = kRows * kStageStride<T> * sizeof(T),
        .may_start_early = true};
    launch(*device_, shape, append<T>, view(batch), reinterpret_cast<const T*>(k.data), k.stride,
           reinterpret_cast<const T*>(v.data), v.stride, heads, head_width, cache);
  });
}

}  // namespace vitrine::internal
