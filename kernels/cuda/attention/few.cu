// SPDX-License-Identifier: MIT
#include "kernels/cuda/attention/kernels.cuh"

// Attention of sequences with few new tokens: decoding. The whole of a tile of keys and values is
// asked of memory at once and used once, so what counts is how many tiles are under way: each tile
// of each head of each sequence is a block of one warp.
//
// A block leaves its tile's softmax and sums in memory, [head of sequence][tile][query][highest,
// sum, o...]. The last block of a head to be done joins them in the order of the tiles. Where there
// is one tile only, it is the result.
//
// Keys and values of new tokens may not be in the cache yet. The block that has a new token's tile
// is the only one of its head to read them: it takes them from where the projection left them,
// and puts them into its tile and the cache. Then a block loads what earlier passes have left in
// the cache while the previous kernel runs.

namespace vitrine::internal::cuda {
namespace {

template <int kWidth>
constexpr int kPartial = kWidth + 2;  // floats of one query's partial result

struct alignas(8) Two {
  float first, second;
};
VITRINE_DEVICE Two load_two(const float* from) { return *reinterpret_cast<const Two*>(from); }

template <int kBlocks>
VITRINE_DEVICE void store_partial(const Sums<1, kBlocks>& sums, float* to) {
  if (lane_quad() == 0)
    *reinterpret_cast<Two*>(to) = {sums.softmax[0].highest, sums.softmax[0].sum};
#pragma unroll
  for (int block = 0; block < kBlocks; ++block)
    *reinterpret_cast<Two*>(to + 2 + lane_channel(block)) = {sums.o[block][0], sums.o[block][1]};
}

/// The highest of own and all lanes before.
VITRINE_DEVICE float highest_so_far(float own) {
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const float before = shuffle(own, lane_id() >= distance ? lane_id() - distance : 0);
    if (lane_id() >= distance) own = fmaxf(own, before);
  }
  return own;
}

/// Joins the tiles' partial results of one query in their order, with the sums of join(). Each lane
/// finds out what one of 32 tiles is multiplied with; then it adds its channels of all of them.
template <class T, int kWidth>
VITRINE_DEVICE void join_tiles(const float* from, int64_t tile_stride, int tiles, T* z,
                               int channels, float* lse) {
  constexpr int kPairsOfLane = kWidth / kWarp / 2, kTogether = 8;
  constexpr Two kNothing{-0.0f, -0.0f};  // which changes no sum: x + -0 is x, even for x = -0
  const auto channel = [](int pair) { return 2 * (lane_id() + pair * kWarp); };
  PartialSoftmax whole;
  Two o[kPairsOfLane];
#pragma unroll
  for (Two& pair : o) pair = kNothing;
#pragma unroll 1
  for (int first = 0; first < tiles; first += kWarp, from += kWarp * tile_stride) {
    const int count = tiles - first < kWarp ? tiles - first : kWarp;
    const Two softmax =
        lane_id() < count ? load_two(from + lane_id() * tile_stride) : Two{kMasked, 0.0f};
    const float upto = highest_so_far(fmaxf(whole.highest, softmax.first)),
                before = shuffle(upto, lane_id() > 0 ? lane_id() - 1 : 0);
    const Shares own = shares_of(lane_id() > 0 ? before : whole.highest, softmax.first);
    whole.highest = shuffle(upto, kWarp - 1);
    for (int begin = 0; begin < count; begin += kTogether) {
      Two theirs[kTogether][kPairsOfLane];
#pragma unroll
      for (int i = 0; i < kTogether * kPairsOfLane; ++i) {
        const int tile = begin + i / kPairsOfLane, pair = i % kPairsOfLane;
        theirs[i / kPairsOfLane][pair] =
            tile < count ? load_two(from + tile * tile_stride + 2 + channel(pair)) : kNothing;
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int tile = begin + i;
        const Shares shares{shuffle(own.mine, tile), shuffle(own.theirs, tile)};
        whole.sum = joined(whole.sum, shuffle(softmax.second, tile), shares);
#pragma unroll
        for (int pair = 0; pair < kPairsOfLane; ++pair) {
          o[pair].first = joined(o[pair].first, theirs[i][pair].first, shares);
          o[pair].second = joined(o[pair].second, theirs[i][pair].second, shares);
        }
      }
    }
  }
  const float inverse = quotient(1.0f, whole.sum);
  store_pairs<T, kPairsOfLane>(z, channels, channel, [&](int i) {
    return Pair<T>{narrow<T>(o[i].first * inverse), narrow<T>(o[i].second * inverse)};
  });
  if (lse != nullptr && lane_id() == 0) *lse = log_sum_exp(whole);
}

/// The keys or the values of a tile's new tokens, of one head, on their way into the tile and into
/// the cache: one token at a time, a few channels in each lane.
template <class T, int kWidth>
struct NewTokens {
  static constexpr int kMine = kWidth / kWarp;
  const T* from;                         ///< the first one's first channel of this lane
  T* cached;                             ///< where it goes
  int64_t row_stride;                    ///< between tokens, of `from`
  int64_t token_stride, channel_stride;  ///< of `cached`
  int width, padded;                     ///< channels; channels that the cache has
  T at[kMine];

  VITRINE_DEVICE static int channel(int i) { return lane_id() + i * kWarp; }
  /// The token `n`'s. Channels after the last are zeros.
  VITRINE_DEVICE void load(int n) {
#pragma unroll
    for (int i = 0; i < kMine; ++i)
      at[i] = channel(i) < width ? from[n * row_stride + i * kWarp] : T{};
  }
  /// Puts `count` of them down, of which the first is loaded; element(n, channel) is in the tile.
  template <class Element>
  VITRINE_DEVICE void put(int count, const Element& element) {
    if (count > 0) put_one(0, element);
#pragma unroll 1
    for (int n = 1; n < count; ++n) {
      load(n);
      put_one(n, element);
    }
    __syncwarp();
  }

 private:
  template <class Element>
  VITRINE_DEVICE void put_one(int n, const Element& element) {
#pragma unroll
    for (int i = 0; i < kMine; ++i) {
      if (channel(i) >= padded) continue;
      element(n, channel(i)) = at[i];
      cached[n * token_stride + i * kWarp * channel_stride] = at[i];
    }
  }
};

/// Where the new tokens of the tile that begins at `begin` are: none if they are in the cache.
struct NewPositions {
  int first = 0, count = 0;

  template <class T>
  VITRINE_DEVICE NewPositions(const HeadView<T>& head, const NewKeysAndValues& fresh, int begin)
      : first(head.past > begin ? head.past : begin) {
    const int end =
        head.past + head.rows < begin + kKeyTile ? head.past + head.rows : begin + kKeyTile;
    if (fresh.k.data != nullptr && first < end) count = end - first;
  }
  template <int kWidth, class T>
  VITRINE_DEVICE NewTokens<T, kWidth> keys(const HeadView<T>& head, const Mat& k) const {
    return {row<kWidth>(head, k),
            head.keys + static_cast<int64_t>(first) * head.key_stride + lane_id(),
            k.stride,
            head.key_stride,
            1,
            head.width(),
            head.key_stride,
            {}};
  }
  template <int kWidth, class T>
  VITRINE_DEVICE NewTokens<T, kWidth> values(const HeadView<T>& head, const Mat& v) const {
    return {row<kWidth>(head, v),
            head.values + static_cast<int64_t>(lane_id()) * head.value_stride + first,
            v.stride,
            1,
            head.value_stride,
            head.width(),
            head.width(),
            {}};
  }

 private:
  template <int kWidth, class T>
  VITRINE_DEVICE const T* row(const HeadView<T>& head, const Mat& of) const {
    if (count == 0) return nullptr;  // `of` may have no memory
    return head.template of_row<const T>(of, first - head.past) + head.head * head.width() +
           lane_id();
  }
};

template <class T>
VITRINE_DEVICE T& element_of(Chunk& chunk, int index) {
  return reinterpret_cast<Elements<T>&>(chunk).at[index % kChunk<T>];
}

/// The softmax of a tile in shared memory and its exponentials, of up to 8 queries.
template <class T, int kWidth, class Rows>
VITRINE_DEVICE Weights<T, 1> weights_of(
    const SharedKeysAndValues<T, kWidth>& tile,
    const Chunk (&queries)[SharedKeysAndValues<T, kWidth>::kSpans], float scale, const Rows& rows,
    int begin) {
  constexpr int kTogether = kSideBySide<T>;
  Scores<1> scores = {};
#pragma unroll
  for (int span = 0; span < tile.kSpans; ++span) {
    const Operand<T> query = operand<T>(queries[span]);
#pragma unroll
    for (int first = 0; first < kKeyBlocks; first += kTogether) {
      Operand<T> keys[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i)
        keys[i] =
            operand<T>(tile.keys.along(key_of<T>(0, lane_row()), key_of<T>(first + i, 0), span));
      mma_spans<T>(scores[0] + first, query, keys);
    }
  }
  return weigh<T, 1>(scores, scale, rows, begin);
}

/// The sums of the tile that begins at `begin`. Waits for the previous kernel.
template <class T, int kWidth, class Rows>
VITRINE_DEVICE Sums<1, kWidth / 8> attend_tile(const HeadView<T>& head,
                                               const NewKeysAndValues& fresh, float scale,
                                               const Rows& rows, int begin) {
  using Tile = SharedKeysAndValues<T, kWidth>;
  const Tile tile(0);
  const bool appends = fresh.k.data != nullptr;
  if (!appends) wait_for_previous_kernel();  // it may be the one that has appended
  const int cached = appends ? head.past : rows.longest();
  tile.template fill_keys<kWarp>(head, begin, cached);
  copy_async_commit();
  tile.template fill_values<kWarp>(head, begin, cached);
  copy_async_commit();
  const NewPositions added(head, fresh, begin);
  auto keys = added.template keys<kWidth>(head, fresh.k);
  auto values = added.template values<kWidth>(head, fresh.v);
  wait_for_previous_kernel();
  Chunk queries[Tile::kSpans];
  head.load_queries(queries);
  if (added.count > 0) keys.load(0), values.load(0);
  copy_async_wait<1>();
  __syncwarp();
  keys.put(added.count, [&](int n, int channel) -> T& {
    return element_of<T>(tile.keys.at(added.first + n - begin, channel / kChunk<T>), channel);
  });
  const Weights<T, 1> weights = weights_of<T, kWidth>(tile, queries, scale, rows, begin);
  copy_async_wait<0>();
  __syncwarp();
  values.put(added.count, [&](int n, int channel) -> T& {
    const int at = added.first + n - begin;
    return element_of<T>(tile.values.at(channel, at / kChunk<T>), at);
  });
  Sums<1, kWidth / 8> sums;
  add_tile(sums, weights, rows, begin,
           [&](int block, int span) { return tile.value(block, span); });
  return sums;
}

template <class T, int kWidth, class Rows>
VITRINE_DEVICE void attend_block(const AttentionArgs& args, const NewKeysAndValues& fresh,
                                 const BatchView& batch, int few, float* partials, int most_rows,
                                 uint32_t* counters) {
  let_next_kernel_start();
  const HeadView<T> head(args, load_at_once(batch.sequences + blockIdx.x / args.heads),
                         static_cast<int>(blockIdx.x) % args.heads);
  const Rows rows = head.template queries<Rows>(0);
  const int before = rows.first_tile(),
            tiles = static_cast<int>(ceil_div(rows.longest(), kKeyTile)) - before / kKeyTile,
            tile = static_cast<int>(blockIdx.y);
  if (head.rows > few || tile >= tiles) return;

  const Sums<1, kWidth / 8> sums =
      attend_tile<T, kWidth>(head, fresh, args.scale, rows, before + tile * kKeyTile);
  if (tiles == 1) {
    store_z(sums, rows.count, head.z(0), args.z.stride, head.width());
    store_lse(sums, rows.count, head.lse(0), args.lse.stride);
    return;
  }
  const int64_t tile_stride = most_rows * kPartial<kWidth>;
  float* first = partials + static_cast<int64_t>(blockIdx.x) * gridDim.y * tile_stride;
  if (lane_row() < rows.count)
    store_partial(sums, first + tile * tile_stride + lane_row() * kPartial<kWidth>);
  __syncwarp();
  if (ballot(lane_id() == 0 && last_to_arrive(counters + blockIdx.x, tiles)) == 0) return;
  __syncwarp();  // a vote does not order what the other lanes read after it
#pragma unroll 1
  for (int row = 0; row < rows.count; ++row)
    join_tiles<T, kWidth>(first + row * kPartial<kWidth>, tile_stride, tiles, head.z(row),
                          head.width(), head.lse(row));
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kWarp)
    attend(AttentionArgs args, NewKeysAndValues fresh, BatchView batch, int few, float* partials,
           int most_rows, uint32_t* counters) {
  attend_block<T, kWidth, QueryRows>(args, fresh, batch, few, partials, most_rows, counters);
}
template <class T, int kWidth>
__global__ void __launch_bounds__(kWarp)
    attend_windows(AttentionArgs args, NewKeysAndValues fresh, BatchView batch, int few,
                   float* partials, int most_rows, uint32_t* counters) {
  attend_block<T, kWidth, WindowRows>(args, fresh, batch, few, partials, most_rows, counters);
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

void attend_few(Device& device, const AttentionArgs& args, const NewKeysAndValues& fresh, int few,
                int64_t tiles, std::byte* partials, uint32_t* counters) {
  const int64_t most_rows = most_rows_of(args, few);
  if (most_rows == 0) return;
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using T = decltype(element);
    const LaunchShape shape{.grid = dim3(head_count(args), tiles),
                            .block = kWarp,
                            .shared = SharedKeysAndValues<T, width.value>::kBytes,
                            .may_start_early = true};
    const auto kernel = args.window > 0 ? attend_windows<T, width.value> : attend<T, width.value>;
    launch(device, shape, kernel, args, fresh, view(*args.batch), few,
           reinterpret_cast<float*>(partials), static_cast<int>(most_rows), counters);
  });
}

}  // namespace vitrine::internal::cuda
