// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"
#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/runtime/switches.h"

// Attention of sequences with many new tokens on Hopper, in 16 bits and heads of 64: the portable
// kernel (many.cu) with a warp group's products, in the same order of summation. A block takes 128
// queries of one head, 64 in each of its two groups of four warps. What lies between the products
// is tile.cuh's: a lane holds the same scores and sums as there.
//
// A portable instruction sums the first or the last 8 bytes of the four chunks of a span, lane
// quad q having those of chunk q; a group's instruction sums 32 neighbouring bytes, of which lane
// quad q has words q and 4 + q. So word m of chunk q of a span is copied to word q of chunk m, and
// column c of a block of scores is the key that key_of() says: row c of the block holds that key.
//
// Tiles that all queries of the block see have a loop of their own: what the others need takes
// registers and instructions. Those have weights of 0, and zeros after the block's last position.
// Where a weight of 0 might count, each warp multiplies such a tile by itself.

namespace vitrine::internal::cuda {
namespace {

// Some of what follows nothing refers to where the kernels are empty, on other GPUs.
constexpr int kWidth = kTileDepth, kGroupRows = 64, kGroups = 2;
constexpr int kThreads = kGroups * kWarpgroup, kQueries = kGroups * kGroupRows;
// Blocks that share an SM: what one waits for, the other does not.
[[maybe_unused]] constexpr int kNeighbours = 2;
constexpr int kSteps = kTileDepth / kStepDepth;
constexpr int kRowWords = kTileRowBytes / 4, kMatrixWords = kKeyTile * kRowWords;
constexpr int kTileBytes = 2 * kMatrixWords * 4;  // of keys and values
constexpr int kQueriesAt = 2 * kTileBytes;        // after two tiles
constexpr int kSharedBytes = kQueriesAt + kThreads * kSteps * static_cast<int>(sizeof(Chunk));
static_assert(kWidth == kKeyTile);

/// The left operand's words, as an instruction takes them, of 16 elements of rows l / 4 (`top`) and
/// l / 4 + 8: the first or, with `late`, the last ones of a span.
template <class T>
VITRINE_DEVICE Chunk left_words(const Operand<T>& top, const Operand<T>& bottom, int late) {
  const uint32_t *t = top.chunk.word + 2 * late, *b = bottom.chunk.word + 2 * late;
  return {t[0], b[0], t[1], b[1]};
}

/// c = left x a matrix of a tile, by all warps of the group.
template <class T>
VITRINE_DEVICE void multiply_tile(float (&c)[kWidth / 2], Chunk (&left)[kSteps],
                                  const uint32_t* matrix) {
  const uint64_t right = tile_operand(matrix);
  products_begin();
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
    multiply<T>(c, left[step].word, further(right, 0, step * kStepDepth), step > 0);
  products_commit();
  products_wait<0>();
  products_are_there(c);
#pragma unroll
  for (Chunk& words : left) products_have_read(words.word);
}

/// Keys [key][channel] and values [channel][position] in shared memory, 64 x 64.
template <class T>
struct Tile {
  uint32_t *keys, *values;

  VITRINE_DEVICE explicit Tile(int begin)
      : keys(shared_memory<uint32_t>() + begin / kKeyTile % 2 * 2 * kMatrixWords),
        values(keys + kMatrixWords) {}

  /// Where a matrix has word `word` of row `row` in memory.
  VITRINE_DEVICE static int place(int row, int word) {
    const int chunk = word / 16 * 4 + word % 4;
    return row * kRowWords + (chunk ^ row % 8) * 4 + word / 4 % 4;
  }

  /// Whether a weight of 0 takes no part in a product with any of the values.
  VITRINE_DEVICE bool values_are_harmless() const {
    Sizes<T> sizes;
#pragma unroll 4
    for (int i = lane_id(); i < kMatrixWords / 4; i += kWarp) sizes.add(load_chunk(values + 4 * i));
    return ballot(!sizes.harmless()) == 0;
  }
  /// This lane's chunk of a block of 8 channels and a span of positions.
  VITRINE_DEVICE Chunk value(int block, int span) const {
    Chunk chunk;
#pragma unroll
    for (int m = 0; m < 4; ++m)
      chunk.word[m] = values[place(8 * block + lane_row(), 16 * span + 4 * lane_quad() + m)];
    return chunk;
  }
};

/// Copies tile after tile by all threads of the block: a warp every eighth row, a lane a word of
/// it.
template <class T>
struct Copies {
  static constexpr int kWarps = kThreads / kWarp;
  static_assert(kWarps == 8);  // so a lane's words have the same place in all rows
  const T *key, *value;        ///< this lane's first words of the next tile
  int stride, place;

  VITRINE_DEVICE explicit Copies(const HeadView<T>& head)
      : key(head.keys + key_of<T>(0, warp_id()) * kWidth + 2 * lane_id()),
        value(head.value(warp_id()) + 2 * lane_id()),
        stride(head.value_stride),
        place(Tile<T>::place(warp_id(), lane_id())) {}

  /// The tile at `begin`; zeros from position `end` on.
  VITRINE_DEVICE void begin_next(int begin, int end) {
    if (begin + kKeyTile <= end)
      begin_copies<true>(Tile<T>(begin), kKeyTile);
    else
      begin_copies<false>(Tile<T>(begin), end - begin);
    copy_async_commit();
    key += kKeyTile * kWidth;
    value += kKeyTile;
  }

 private:
  template <bool kWhole>
  VITRINE_DEVICE void begin_copies(const Tile<T>& tile, int positions) const {
    const int own = key_of<T>(0, warp_id());
#pragma unroll
    for (int block = 0; block < kKeyBlocks; ++block) {
      const int further = key_of<T>(block, 0);
      copy_async_word(tile.keys + place + block * kWarps * kRowWords, key + further * kWidth,
                      kWhole || own + further < positions ? 4 : 0);
    }
    const int bytes = kWhole ? 4 : std::clamp(2 * (positions - 2 * lane_id()), 0, 4);
    const T* from = value;
#pragma unroll
    for (int block = 0; block < kWidth / kWarps; ++block, from += int64_t{kWarps} * stride)
      copy_async_word(tile.values + place + block * kWarps * kRowWords, from, bytes);
  }
};

/// The queries of a warp as left operands of products. They wait in shared memory, each lane's
/// apart: there are not enough registers.
template <class T>
struct Queries {
  Chunk* own;

  VITRINE_DEVICE Queries(const HeadView<T>& head, int first)
      : own(shared_memory<Chunk>() + kQueriesAt / sizeof(Chunk) + threadIdx.x) {
#pragma unroll
    for (int span = 0; span < kSteps / 2; ++span) {
      const Operand<T> top{head.query(first + lane_row(), span)},
          bottom{head.query(first + lane_row() + 8, span)};
      own[2 * span * kThreads] = left_words(top, bottom, 0);
      own[(2 * span + 1) * kThreads] = left_words(top, bottom, 1);
    }
  }
  VITRINE_DEVICE void load(Chunk (&left)[kSteps]) const {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) left[step] = own[step * kThreads];
  }
};

/// Joins the tile at `begin`; with kWhole, all queries of the group see all of it.
template <class T, bool kWhole>
VITRINE_DEVICE void add_group_tile(Sums<2, kWidth / 8>& sums, Chunk (&left)[kSteps], float scale,
                                   const QueryRows& rows, int begin) {
  const Tile<T> tile(begin);
  Scores<2> scores;
  auto& products = reinterpret_cast<float(&)[kWidth / 2]>(scores);
  multiply_tile<T>(products, left, tile.keys);
  const ScoreScale by(scale);
  by.apply(scores[0]);
  if constexpr (!kWhole) hide<T, 2>(scores, rows, begin, kMasked);
  const Weights<T, 2> weights = weigh<T, 2>(scores, by);
  Shares shares[2];
  bool takes_part[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    shares[half] = join(sums.softmax[half], weights.softmax[half]);
    takes_part[half] = kWhole || begin < rows.length(lane_row() + 8 * half);
  }
  if constexpr (!kWhole) {
    if (!tile.values_are_harmless())
      return mix_masked(sums, weights, shares, rows, begin,
                        [&](int block, int span) { return tile.value(block, span); });
  }
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
    left[step] = left_words(weights.p[0][step / 2], weights.p[1][step / 2], step % 2);
  multiply_tile<T>(products, left, tile.values);
#pragma unroll
  for (int i = 0; i < kWidth / 2; ++i) {
    float& o = sums.o[i / 4][i % 4];
    if (takes_part[i % 4 / 2]) o = joined(o, products[i], shares[i % 4 / 2]);
  }
}

template <class T>
VITRINE_DEVICE void attend_block(const AttentionArgs& args, const BatchView& batch, int few) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const HeadView<T> head(args, batch.sequences[blockIdx.x / args.heads],
                         static_cast<int>(blockIdx.x) % args.heads);
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kQueries;
  if (head.rows <= few || first >= head.rows) return;
  const int end = head.past + std::min(first + kQueries, head.rows);
  Copies<T> copies(head);
  copies.begin_next(0, end);
  // The same in all lanes, and known to the compiler as such: it then takes no registers of theirs.
  const int warp = shuffle(warp_id(), 0), group_first = first + warp / 4 * kGroupRows,
            own = group_first + warp % 4 * 16;
  const QueryRows group = head.queries(group_first, kGroupRows), rows = head.queries(own);
  const Queries<T> queries(head, own);
  Sums<2, kWidth / 8> sums;
  const auto await_tile = [&](Chunk(&left)[kSteps], int begin) {
    queries.load(left);
    copy_async_wait<0>();
    products_see_copies();
    __syncthreads();  // the tile has arrived, and no thread reads the other half any more
    if (begin + kKeyTile < end) copies.begin_next(begin + kKeyTile, end);
  };
  int begin = 0;
  for (const int seen = head.past + first + 1; begin + kKeyTile <= seen; begin += kKeyTile) {
    Chunk left[kSteps];
    await_tile(left, begin);
    add_group_tile<T, true>(sums, left, args.scale, rows, begin);
  }
#pragma unroll 1
  for (; begin < end; begin += kKeyTile) {
    Chunk left[kSteps];
    await_tile(left, begin);
    if (begin < group.longest()) add_group_tile<T, false>(sums, left, args.scale, rows, begin);
  }
  store_z(sums, rows.count, head.z(own), args.z.stride, kWidth);
  store_lse(sums, rows.count, head.lse(own), args.lse.stride);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kNeighbours)
    hopper_attend(AttentionArgs args, BatchView batch, int few) {
  if constexpr (kHopper) attend_block<T>(args, batch, few);
}

}  // namespace

bool attend_many_on_hopper(Device& device, const AttentionArgs& args, int few) {
  if (!switches().hopper || device.capability() != 90 || dtype_size(args.q.dtype) != 2 ||
      args.head_width != kWidth || args.window > 0)
    return false;
  const int64_t longest = longest_rows(args);
  if (longest <= few) return true;
  const LaunchShape shape{.grid = dim3(head_count(args), ceil_div(longest, kQueries)),
                          .block = kThreads,
                          .shared = kSharedBytes,
                          .may_start_early = true};
  const auto kernel = args.q.dtype == DType::kBF16 ? hopper_attend<Bf16> : hopper_attend<F16>;
  launch(device, shape, kernel, args, view(*args.batch), few);
  return true;
}

}  // namespace vitrine::internal::cuda
