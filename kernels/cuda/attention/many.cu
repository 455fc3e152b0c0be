// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"

// Attention of sequences with many new tokens. A block takes 64 or 128 queries of one head, 16 or
// 32 in each of its four warps, and walks the tiles of keys in ascending order: while one is worked
// on, the next is copied to the other half of shared memory. The blocks with the most tiles, those
// of the last queries, begin first.

namespace vitrine::internal::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;

template <class T, int kWidth>
struct ManyShape {
  using Tile = SharedKeysAndValues<T, kWidth>;
  static constexpr bool kLight = kWidth == 64 && sizeof(T) == 2;
  /// Where registers allow, a warp has two products for each operand that it reads: of 16 queries
  /// alone, shared memory would take as long as the arithmetic.
  static constexpr int kHalves = kLight ? 4 : 2;
  static constexpr int kRows = 8 * kHalves, kQueries = kRows * kWarps;
  /// Blocks that are to share an SM: this caps their registers where that costs nothing.
  static constexpr int kNeighbours = kLight ? 2 : 1;
  static constexpr int kQueryChunks = kHalves * Tile::kSpans;  ///< of a lane
  static constexpr size_t kBytes = 2 * Tile::kBytes + kQueryChunks * kThreads * sizeof(Chunk);
};

template <class T, int kWidth, class Rows>
VITRINE_DEVICE void attend_block(const AttentionArgs& args, const BatchView& batch, int few) {
  using Shape = ManyShape<T, kWidth>;
  using Tile = typename Shape::Tile;
  wait_for_previous_kernel();
  let_next_kernel_start();
  const HeadView<T> head(args, batch.sequences[blockIdx.x / args.heads],
                         static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * Shape::kQueries,
            own = first + Shape::kRows * warp_id();
  if (head.rows <= few || first >= head.rows) return;
  const int end = head.past + std::min(first + Shape::kQueries,
                                       head.rows);  // of what any query of the block sees
  const Rows rows = head.template queries<Rows>(own, Shape::kRows);
  const int first_tile = head.template queries<Rows>(first).first_tile();

  const auto fill = [&](int begin) {
    const Tile tile(begin / kKeyTile % 2);
    tile.template fill_keys<kThreads>(head, begin, end);
    tile.template fill_values<kThreads>(head, begin, end);
    copy_async_commit();
  };
  fill(first_tile);
  // A lane's queries wait in shared memory, too, each lane's apart: they would take too many
  // registers. Two rows' words alternate, as an instruction takes them.
  Chunk* queries = shared_memory<Chunk>() + 2 * Tile::kBytes / sizeof(Chunk) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < Shape::kQueryChunks; i += 2) {
    const int row = own + lane_row() + i % Shape::kHalves * 8, span = i / Shape::kHalves;
    const Chunk top = head.query(row, span), bottom = head.query(row + 8, span);
    const uint32_t *t = top.word, *b = bottom.word;
    queries[i * kThreads] = {t[0], b[0], t[1], b[1]};
    queries[(i + 1) * kThreads] = {t[2], b[2], t[3], b[3]};
  }
  const auto query = [&](int half, int span) {
    const Chunk* pair = queries + (Shape::kHalves * span + half / 2 * 2) * kThreads;
    const uint32_t *early = pair[0].word + half % 2, *late = pair[kThreads].word + half % 2;
    return Chunk{early[0], early[2], late[0], late[2]};
  };
  Sums<Shape::kHalves, Tile::kBlocks> sums;
  for (int begin = first_tile; begin < end; begin += kKeyTile) {
    copy_async_wait<0>();
    __syncthreads();  // the tile has arrived, and no thread reads the other half any more
    if (begin + kKeyTile < end) fill(begin + kKeyTile);
    if (!rows.any_sees(begin)) continue;
    const Tile tile(begin / kKeyTile % 2);
    const auto weights = tile.template weights<Shape::kHalves>(query, args.scale, rows, begin);
    add_tile(sums, weights, rows, begin,
             [&](int block, int span) { return tile.value(block, span); });
  }
  store_z(sums, rows.count, head.z(own), args.z.stride, head.width());
  store_lse(sums, rows.count, head.lse(own), args.lse.stride);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, ManyShape<T, kWidth>::kNeighbours)
    attend(AttentionArgs args, BatchView batch, int few) {
  attend_block<T, kWidth, QueryRows>(args, batch, few);
}
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, ManyShape<T, kWidth>::kNeighbours)
    attend_windows(AttentionArgs args, BatchView batch, int few) {
  attend_block<T, kWidth, WindowRows>(args, batch, few);
}

}  // namespace

size_t many_shared_bytes(const AttentionArgs& args) {
  size_t bytes = 0;
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    bytes = ManyShape<decltype(element), width.value>::kBytes;
  });
  return bytes;
}

void attend_many(Device& device, const AttentionArgs& args, int few) {
  const int64_t longest = longest_rows(args);
  if (longest <= few) return;
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using Shape = ManyShape<decltype(element), width.value>;
    const LaunchShape shape{.grid = dim3(head_count(args), ceil_div(longest, Shape::kQueries)),
                            .block = kThreads,
                            .shared = Shape::kBytes,
                            .may_start_early = true};
    using T = decltype(element);
    const auto kernel = args.window > 0 ? attend_windows<T, width.value> : attend<T, width.value>;
    launch(device, shape, kernel, args, view(*args.batch), few);
  });
}

}  // namespace vitrine::internal::cuda
