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
// and puts them into its tile and the cache.

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

/// A new token's keys or values of one head, a few channels in each lane.
template <class T, int kWidth>
struct NewToken {
  static constexpr int kMine = kWidth / kWarp;
  T at[kMine];

  VITRINE_DEVICE static int channel(int i) { return lane_id() + i * kWarp; }
  /// Channels after the last are zeros.
  VITRINE_DEVICE void load(const T* row, int width) {
#pragma unroll
    for (int i = 0; i < kMine; ++i) at[i] = channel(i) < width ? row[channel(i)] : T{};
  }
};

/// The new tokens of a tile on their way into it and into the cache.
template <class T, int kWidth>
struct NewTokens {
  const HeadView<T>& head;
  const NewKeysAndValues& fresh;
  int begin, first, end;  ///< of the tile; positions of its new tokens
  NewToken<T, kWidth> key, value;

  VITRINE_DEVICE NewTokens(const HeadView<T>& h, const NewKeysAndValues& f, int tile_begin)
      : head(h),
        fresh(f),
        begin(tile_begin),
        first(h.past > tile_begin ? h.past : tile_begin),
        end(h.past + h.rows < tile_begin + kKeyTile ? h.past + h.rows : tile_begin + kKeyTile) {
    if (fresh.k.data == nullptr) end = first;
    if (first >= end) return;
    load(key, fresh.k, first);  // under way while the tile is copied
    load(value, fresh.v, first);
  }
  VITRINE_DEVICE void load(NewToken<T, kWidth>& token, const Mat& from, int position) const {
    token.load(head.template of_row<const T>(from, position - head.past) + head.head * head.width(),
               head.width());
  }

  VITRINE_DEVICE void put_keys(const SharedKeysAndValues<T, kWidth>& tile) {
#pragma unroll 1
    for (int position = first; position < end; ++position) {
      if (position > first) load(key, fresh.k, position);
      T* cached = head.keys + static_cast<int64_t>(position) * head.key_stride;
#pragma unroll
      for (int i = 0; i < key.kMine; ++i) {
        const int channel = key.channel(i);
        element(tile.keys.at(position - begin, channel / kChunk<T>), channel) = key.at[i];
        if (channel < head.key_stride) cached[channel] = key.at[i];
      }
    }
    __syncwarp();
  }
  VITRINE_DEVICE void put_values(const SharedKeysAndValues<T, kWidth>& tile) {
#pragma unroll 1
    for (int position = first; position < end; ++position) {
      if (position > first) load(value, fresh.v, position);
      T* cached = head.values + position;
#pragma unroll
      for (int i = 0; i < value.kMine; ++i) {
        const int channel = value.channel(i), at = position - begin;
        if (channel >= head.width()) continue;
        element(tile.values.at(channel, at / kChunk<T>), at) = value.at[i];
        cached[static_cast<int64_t>(channel) * head.value_stride] = value.at[i];
      }
    }
    __syncwarp();
  }
  VITRINE_DEVICE static T& element(Chunk& chunk, int index) {
    return reinterpret_cast<Elements<T>&>(chunk).at[index % kChunk<T>];
  }
};

/// The sums of the tile that begins at `begin`.
template <class T, int kWidth>
VITRINE_DEVICE Sums<1, kWidth / 8> attend_tile(const HeadView<T>& head,
                                               const NewKeysAndValues& fresh, float scale,
                                               const QueryRows& rows, int begin) {
  using Tile = SharedKeysAndValues<T, kWidth>;
  const Tile tile(0);
  tile.template fill_keys<kWarp>(head, begin, rows.longest());
  copy_async_commit();
  tile.template fill_values<kWarp>(head, begin, rows.longest());
  copy_async_commit();
  Chunk queries[Tile::kSpans];
#pragma unroll
  for (int span = 0; span < Tile::kSpans; ++span) queries[span] = head.query(lane_row(), span);
  NewTokens<T, kWidth> added(head, fresh, begin);
  copy_async_wait<1>();
  __syncwarp();
  added.put_keys(tile);
  const Weights<T, 1> weights =
      tile.template weights<1>([&](int, int span) { return queries[span]; }, scale, rows, begin);
  copy_async_wait<0>();
  __syncwarp();
  added.put_values(tile);
  Sums<1, kWidth / 8> sums;
  add_tile(sums, weights, rows, begin,
           [&](int block, int span) { return tile.value(block, span); });
  return sums;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kWarp)
    attend(AttentionArgs args, NewKeysAndValues fresh, BatchView batch, int few, float* partials,
           int most_rows, uint32_t* counters) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const HeadView<T> head(args, batch.sequences[blockIdx.x / args.heads],
                         static_cast<int>(blockIdx.x) % args.heads);
  const QueryRows rows = head.queries(0);
  const int tiles = static_cast<int>(ceil_div(rows.longest(), kKeyTile)),
            tile = static_cast<int>(blockIdx.y);
  if (head.rows > few || tile >= tiles) return;

  Sums<1, kWidth / 8> sums = attend_tile<T, kWidth>(head, fresh, args.scale, rows, tile * kKeyTile);
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
    launch(device, shape, attend<T, width.value>, args, fresh, view(*args.batch), few,
           reinterpret_cast<float*>(partials), static_cast<int>(most_rows), counters);
  });
}

}  // namespace vitrine::internal::cuda
