// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"

// Attention of sequences with few new tokens: decoding. The whole of a tile of keys and values is
// asked of memory at once and used once, so what counts is how many tiles are under way: each tile
// of each head of each sequence is a block of one warp.
//
// A block leaves its tile's softmax and sums in memory, [head of sequence][tile][query][highest,
// sum, o...]. The last block of a head to be done joins them in the order of the tiles. Where there
// is one tile only, it is the result.

namespace vitrine::internal::cuda {
namespace {

template <int kWidth>
constexpr int kPartial = kWidth + 2;  // floats of one query's partial result

struct alignas(8) Two {
  float first, second;
};

template <int kBlocks>
VITRINE_DEVICE void store_partial(const Sums<1, kBlocks>& sums, float* to) {
  if (lane_quad() == 0) to[0] = sums.softmax[0].highest, to[1] = sums.softmax[0].sum;
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    *reinterpret_cast<Two*>(to + 2 + 8 * block + 2 * lane_quad()) = {sums.o[block][0],
                                                                     sums.o[block][1]};
  }
}

template <int kBlocks>
VITRINE_DEVICE void join_partial(Sums<1, kBlocks>& sums, const float* from) {
  const Shares shares = join(sums.softmax[0], {from[0], from[1]});
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    const Two o = *reinterpret_cast<const Two*>(from + 2 + 8 * block + 2 * lane_quad());
    sums.o[block][0] = joined(sums.o[block][0], o.first, shares);
    sums.o[block][1] = joined(sums.o[block][1], o.second, shares);
  }
}

/// Whether this block is the last of `blocks` to come here. The counter is zero before the first
/// and after the last.
VITRINE_DEVICE bool last_to_arrive(uint32_t* counter, int blocks) {
  __threadfence();
  __syncwarp();
  uint32_t before = 0;
  if (lane_id() == 0) before = atomicAdd(counter, 1u);
  if (shuffle(before, 0) + 1 != static_cast<uint32_t>(blocks)) return false;
  if (lane_id() == 0) *counter = 0;
  __syncwarp();  // a shuffle does not order what the other lanes read after it
  __threadfence();
  return true;
}

/// The sums of the tile that begins at `begin`.
template <class T, int kWidth>
VITRINE_DEVICE Sums<1, kWidth / 8> attend_tile(const HeadView<T>& head, float scale,
                                               const QueryRows& rows, int begin) {
  using Tile = SharedKeysAndValues<T, kWidth>;
  const Tile tile(0);
  tile.fill_keys(head, begin, rows.longest());
  copy_async_commit();
  tile.fill_values(head, begin, rows.longest());
  copy_async_commit();
  Chunk queries[Tile::kSpans];
#pragma unroll
  for (int span = 0; span < Tile::kSpans; ++span) queries[span] = head.query(lane_row(), span);
  copy_async_wait<1>();
  __syncwarp();
  const Weights<T, 1> weights =
      tile.template weights<1>([&](int, int span) { return queries[span]; }, scale, rows, begin);
  copy_async_wait<0>();
  __syncwarp();
  Sums<1, kWidth / 8> sums;
  add_tile(sums, weights, rows, begin,
           [&](int block, int span) { return tile.value(block, span); });
  return sums;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kWarp)
    attend(AttentionArgs args, BatchView batch, int few, float* partials, int most_rows,
           uint32_t* counters) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const HeadView<T> head(args, batch.sequences[blockIdx.x / args.heads],
                         static_cast<int>(blockIdx.x) % args.heads);
  const QueryRows rows = head.queries(0);
  const int tiles = static_cast<int>(ceil_div(rows.longest(), kKeyTile)),
            tile = static_cast<int>(blockIdx.y);
  if (head.rows > few || tile >= tiles) return;

  Sums<1, kWidth / 8> sums = attend_tile<T, kWidth>(head, args.scale, rows, tile * kKeyTile);
  if (tiles > 1) {
    const int64_t tile_stride = most_rows * kPartial<kWidth>;
    float* row = partials + static_cast<int64_t>(blockIdx.x) * gridDim.y * tile_stride +
                 lane_row() * kPartial<kWidth>;
    if (lane_row() < rows.count) store_partial(sums, row + tile * tile_stride);
    if (!last_to_arrive(counters + blockIdx.x, tiles)) return;
    sums = {};
    if (lane_row() < rows.count) {
#pragma unroll 4
      for (int i = 0; i < tiles; ++i) join_partial(sums, row + i * tile_stride);
    }
  }
  store_z(sums, rows.count, head.z(0), args.z.stride, head.width());
  store_lse(sums, rows.count, head.lse(0), args.lse.stride);
}

/// The most new tokens of a sequence that has few; 0 if none has.
int64_t most_rows_of(const AttentionArgs& args, int few) {
  int64_t most = 0;
  for (const SequenceSlice& slice : args.batch->sequences) {
    if (slice.rows <= few) most = std::max(most, slice.rows);
  }
  return most;
}

}  // namespace

size_t few_partial_bytes(const AttentionArgs& args, int few, int64_t tiles) {
  const int width = args.head_width <= 64 ? kPartial<64> : kPartial<kWidestHead>;
  return head_count(args) * static_cast<size_t>(tiles * most_rows_of(args, few) * width) *
         sizeof(float);
}

void attend_few(Device& device, const AttentionArgs& args, int few, int64_t tiles,
                std::byte* partials, uint32_t* counters) {
  const int64_t most_rows = most_rows_of(args, few);
  if (most_rows == 0) return;
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using T = decltype(element);
    const LaunchShape shape{.grid = dim3(head_count(args), tiles),
                            .block = kWarp,
                            .shared = SharedKeysAndValues<T, width.value>::kBytes,
                            .may_start_early = true};
    launch(device, shape, attend<T, width.value>, args, view(*args.batch), few,
           reinterpret_cast<float*>(partials), static_cast<int>(most_rows), counters);
  });
}

}  // namespace vitrine::internal::cuda
