// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"

// Attention of sequences with many new tokens. A block takes 64 queries of one head, 16 in each of
// its four warps, and walks the tiles of keys in ascending order: while one is worked on, the next
// is copied to the other half of shared memory. The blocks with the most tiles, those of the last
// queries, begin first.

namespace vitrine::internal::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp, kQueries = 16 * kWarps;

/// Blocks that are to share a processor: this caps their registers where that costs nothing.
template <class T, int kWidth>
constexpr int kNeighbours = kWidth == 64 && sizeof(T) == 2 ? 3 : 1;

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, kNeighbours<T, kWidth>)
    attend(AttentionArgs args, BatchView batch, int few) {
  using Tile = SharedKeysAndValues<T, kWidth>;
  wait_for_previous_kernel();
  let_next_kernel_start();
  const HeadView<T> head(args, batch.sequences[blockIdx.x / args.heads],
                         static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kQueries,
            own = first + 16 * warp_id();
  if (head.rows <= few || first >= head.rows) return;
  const int end =
      head.past + std::min(first + kQueries, head.rows);  // of what any query of the block sees
  const QueryRows rows = head.queries(own);

  const auto fill = [&](int begin) {
    const Tile tile(begin / kKeyTile % 2);
    tile.fill_keys(head, begin, end);
    tile.fill_values(head, begin, end);
    copy_async_commit();
  };
  fill(0);
  // A lane's queries wait in shared memory, too, each lane's apart: they would take too many
  // registers.
  Chunk* queries = shared_memory<Chunk>() + 2 * Tile::kBytes / sizeof(Chunk) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < 2 * Tile::kSpans; ++i)
    queries[i * kThreads] = head.query(own + lane_row() + i % 2 * 8, i / 2);
  const auto query = [&](int half, int span) { return queries[(2 * span + half) * kThreads]; };
  Sums<2, Tile::kBlocks> sums;
  for (int begin = 0; begin < end; begin += kKeyTile) {
    copy_async_wait<0>();
    __syncthreads();  // the tile has arrived, and no thread reads the other half any more
    if (begin + kKeyTile < end) fill(begin + kKeyTile);
    if (begin >= rows.longest()) continue;
    const Tile tile(begin / kKeyTile % 2);
    const Weights<T, 2> weights = tile.template weights<2>(query, args.scale, rows, begin);
    add_tile(sums, weights, rows, begin,
             [&](int block, int span) { return tile.value(block, span); });
  }
  store_z(sums, rows.count, head.z(own), args.z.stride, head.width());
  store_lse(sums, rows.count, head.lse(own), args.lse.stride);
}

}  // namespace

size_t many_shared_bytes(const AttentionArgs& args) {
  size_t bytes = 0;
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using Tile = SharedKeysAndValues<decltype(element), width.value>;
    bytes = 2 * Tile::kBytes + 2 * Tile::kSpans * kThreads * sizeof(Chunk);
  });
  return bytes;
}

void attend_many(Device& device, const AttentionArgs& args, int few) {
  int64_t longest = 0;
  for (const SequenceSlice& slice : args.batch->sequences) longest = std::max(longest, slice.rows);
  if (longest <= few) return;
  const LaunchShape shape{.grid = dim3(head_count(args), ceil_div(longest, kQueries)),
                          .block = kThreads,
                          .shared = many_shared_bytes(args),
                          .may_start_early = true};
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    launch(device, shape, attend<decltype(element), width.value>, args, view(*args.batch), few);
  });
}

}  // namespace vitrine::internal::cuda
