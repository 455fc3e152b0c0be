// SPDX-License-Identifier: MIT
#pragma once

#include <bit>

#include "kernels/cuda/device/kv_layout.cuh"

// Attention of up to 16 queries of one head: what one warp does with one tile of 64 keys, and how
// tiles are put together. All kernels consist of these functions, so a query's result has the same
// bits whichever of them computes it:
//
//   scores      s = scale * q.k on tensor cores, spans of channels in ascending order
//   softmax     highest = max s, p = exp(s - highest), sum = sum p, over this tile alone
//   mix         o = p V on tensor cores, p rounded to T, begun from zero for this tile alone
//   joining     (highest, sum, o) of the tiles in ascending order; z = o / sum, lse = highest + log
//   sum
//
// A lane of scores holds, of rows l / 4 and l / 4 + 8, columns 2 (l % 4) and one more of eight
// blocks of 8 keys. The product with the values wants 16 bytes of consecutive keys in each lane.
// Both are met, with no exchange between lanes, by choosing which keys a block's columns are: see
// key_of(). A lane's scores x[0..15] of a row are then its keys in ascending order.
//
// What a query must not see takes no part at all: its scores are -inf (p is exactly 0), and values
// are zeros in the sum, even where 0 times the value would be a NaN. kHalves says whether a warp
// has 16 queries (2) or 8 (1): all of rows l / 4 + 8 is then left away.

namespace vitrine::internal::cuda {

inline constexpr int kKeyBlocks = kKeyTile / 8;  ///< blocks of 8 keys in a tile
inline constexpr int kLaneKeys = 16;             ///< keys of a tile that a lane holds of each row
template <class T>
inline constexpr int kTileSpans = kKeyTile / kSpan<T>;
inline constexpr float kMasked = -INFINITY;

VITRINE_DEVICE int lane_row() { return static_cast<int>(threadIdx.x % kWarp / 4); }
VITRINE_DEVICE int lane_quad() { return static_cast<int>(threadIdx.x % 4); }

/// Which key of a tile is column `column` of a block. Of each span a lane gets as many consecutive
/// keys as fill 16 bytes.
template <class T>
VITRINE_DEVICE int key_of(int block, int column) {
  constexpr int kBlocks = kChunk<T> / 2;  // that share a span
  return block / kBlocks * kSpan<T> + (column >> 1) * kChunk<T> + block % kBlocks * 2 +
         (column & 1);
}
/// The first key of those that this lane holds of a span.
template <class T>
VITRINE_DEVICE int lane_key(int span) {
  return span * kSpan<T> + lane_quad() * kChunk<T>;
}

/// The queries of a warp: neighbours in one sequence, each of which sees one position more than the
/// one before it.
struct QueryRows {
  int shortest = 0;  ///< positions that query 0 sees
  int count = 0;

  VITRINE_DEVICE int length(int row) const { return row < count ? shortest + row : 0; }
  VITRINE_DEVICE int longest() const { return count > 0 ? shortest + count - 1 : 0; }
};

// --- scores

/// scores += q.k over one span of channels; top and bottom are the queries', key(k) this lane's 16
/// bytes of the tile's key k.
template <class T, int kBlocks, class Key>
VITRINE_DEVICE void add_scores(float (&scores)[kBlocks][4], const Operand<T>& top,
                               const Operand<T>& bottom, const Key& key) {
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    mma_span<T>(scores[block], top, bottom, operand<T>(key(key_of<T>(block, lane_row()))));
  }
}

// --- softmax

/// A softmax over some positions that others may join.
struct PartialSoftmax {
  float highest = kMasked;
  float sum = 0.0f;
};

/// What two parts are multiplied with when they are put together.
struct Shares {
  float mine, theirs;
};

/// A part in which all scores are -inf leaves the other as it is, whatever that is; so does one
/// that nothing was added to.
VITRINE_DEVICE Shares join(PartialSoftmax& mine, const PartialSoftmax& theirs) {
  const float highest = fmaxf(mine.highest, theirs.highest);
  const Shares shares{mine.highest == highest ? 1.0f : expf(mine.highest - highest),
                      theirs.highest == highest ? 1.0f : expf(theirs.highest - highest)};
  mine.highest = highest;
  mine.sum = fmaf(theirs.sum, shares.theirs, mine.sum * shares.mine);
  return shares;
}

VITRINE_DEVICE float log_sum_exp(const PartialSoftmax& softmax) {
  return softmax.highest + logf(softmax.sum);
}

/// Turns the scores that four neighbouring lanes hold of one row of a tile into exp(score -
/// highest).
VITRINE_DEVICE PartialSoftmax tile_softmax(float (&x)[kLaneKeys]) {
  PartialSoftmax tile;
#pragma unroll
  for (const float score : x) tile.highest = fmaxf(tile.highest, score);
  tile.highest = fmaxf(tile.highest, shuffle_xor(tile.highest, 1));
  tile.highest = fmaxf(tile.highest, shuffle_xor(tile.highest, 2));
  const float shift =
      tile.highest == kMasked ? 0.0f : tile.highest;  // -inf - -inf is none of their business
#pragma unroll
  for (float& p : x) {
    p = expf(p - shift);
    tile.sum += p;
  }
  tile.sum += shuffle_xor(tile.sum, 1);
  tile.sum += shuffle_xor(tile.sum, 2);
  return tile;
}

/// A tile's p, ready to be multiplied with its values.
template <class T, int kHalves>
struct Weights {
  PartialSoftmax softmax[kHalves];
  Operand<T> p[kHalves][kTileSpans<T>];
};

template <class T>
VITRINE_DEVICE Chunk pack(const float* x) {
  Chunk chunk;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4)
      chunk.word[i] = std::bit_cast<uint32_t>(x[i]);
    else
      chunk.word[i] = narrow<T>(x[2 * i]).bits | static_cast<uint32_t>(narrow<T>(x[2 * i + 1]).bits)
                                                     << 16;
  }
  return chunk;
}

/// From the unscaled scores of the tile that begins at position `begin`.
template <class T, int kHalves>
VITRINE_DEVICE Weights<T, kHalves> weigh(const float (&scores)[kKeyBlocks][4], float scale,
                                         const QueryRows& rows, int begin) {
  Weights<T, kHalves> weights;
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    const int visible = rows.length(lane_row() + 8 * half) - begin;
    float x[kLaneKeys];
#pragma unroll
    for (int i = 0; i < kLaneKeys; ++i) {
      const int key = lane_key<T>(i / kChunk<T>) + i % kChunk<T>;
      x[i] = key < visible ? scores[i / 2][2 * half + i % 2] * scale : kMasked;
    }
    weights.softmax[half] = tile_softmax(x);
#pragma unroll
    for (int span = 0; span < kTileSpans<T>; ++span)
      weights.p[half][span] = operand<T>(pack<T>(x + span * kChunk<T>));
  }
  return weights;
}

// --- mix

/// The first `count` elements of a chunk, the others 0.
template <class T>
VITRINE_DEVICE Chunk first_of(Chunk chunk, int count) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4)
      chunk.word[i] = i < count ? chunk.word[i] : 0;
    else
      chunk.word[i] &= 2 * i + 1 < count ? 0xffffffffu : 2 * i < count ? 0xffffu : 0u;
  }
  return chunk;
}

/// A chunk with its first `count` elements 0.
template <class T>
VITRINE_DEVICE Chunk without_first(Chunk chunk, int count) {
  const Chunk first = first_of<T>(chunk, count);
#pragma unroll
  for (int i = 0; i < 4; ++i) chunk.word[i] ^= first.word[i];
  return chunk;
}

/// Whether no element is infinite or a NaN.
template <class T>
VITRINE_DEVICE bool finite(const Chunk& chunk) {
  constexpr uint32_t kExponent = sizeof(T) == 4           ? 0x7f800000u
                                 : std::is_same_v<T, F16> ? 0x7c00u
                                                          : 0x7f80u;
  bool all = true;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    all = all && (chunk.word[i] & kExponent) != kExponent;
    if constexpr (sizeof(T) == 2) all = all && (chunk.word[i] >> 16 & kExponent) != kExponent;
  }
  return all;
}

// --- joining

/// The queries' results over the tiles so far: of 8 kBlocks channels, two neighbouring ones of each
/// block in a lane.
template <int kHalves, int kBlocks>
struct Sums {
  PartialSoftmax softmax[kHalves];
  float o[kBlocks][2 * kHalves];

  VITRINE_DEVICE Sums() {
#pragma unroll
    for (int i = 0; i < kBlocks * 2 * kHalves; ++i) {
      o[i / (2 * kHalves)][i % (2 * kHalves)] = -0.0f;  // x + -0 is x, even for x = -0
    }
  }
};

VITRINE_DEVICE float joined(float mine, float theirs, const Shares& shares) {
  return fmaf(theirs, shares.theirs, mine * shares.mine);
}

/// o of each query that takes part, joined with p V; value(block, span) are this lane's 16 bytes of
/// 8 channels.
template <class T, int kHalves, int kBlocks, class Value>
VITRINE_DEVICE void mix(Sums<kHalves, kBlocks>& sums, const Weights<T, kHalves>& tile,
                        const Shares (&shares)[kHalves], const bool (&takes_part)[kHalves],
                        const Value& value) {
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    float c[4] = {};
#pragma unroll
    for (int span = 0; span < kTileSpans<T>; ++span) {
      const Operand<T> bottom = kHalves == 2 ? tile.p[kHalves - 1][span] : Operand<T>{};
      mma_span<T>(c, tile.p[0][span], bottom, operand<T>(value(block, span)));
    }
#pragma unroll
    for (int i = 0; i < 2 * kHalves; ++i) {
      if (takes_part[i / 2]) sums.o[block][i] = joined(sums.o[block][i], c[i], shares[i / 2]);
    }
  }
}

/// The same for a partially masked tile. Keys after the last query's position are masked for every
/// query. Keys that only later queries see are multiplied by a p of 0; where the product may not be
/// 0, each query is computed separately.
template <class T, int kHalves, int kBlocks, class Value>
VITRINE_DEVICE void mix_masked(Sums<kHalves, kBlocks>& sums, const Weights<T, kHalves>& tile,
                               const Shares (&shares)[kHalves], const QueryRows& rows, int begin,
                               const Value& value) {
  const auto seen_by = [&](int row, int block, int span) {
    return first_of<T>(value(block, span), rows.length(row) - begin - lane_key<T>(span));
  };
  bool together = rows.count == 1;
  if (!together) {
    bool harmless = true;
#pragma unroll 4
    for (int i = 0; i < kBlocks * kTileSpans<T>; ++i) {
      harmless =
          harmless && finite<T>(seen_by(rows.count - 1, i / kTileSpans<T>, i % kTileSpans<T>));
    }
    together = ballot(!harmless) == 0;
  }
#pragma unroll 1
  for (int row = together ? rows.count - 1 : 0; row < rows.count; ++row) {
    __syncwarp();  // no lane waits for another: it keeps the compiler from holding all values in
                   // registers
    bool takes_part[kHalves];
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int own = lane_row() + 8 * half;
      takes_part[half] = begin < rows.length(own) && (together || own == row);
    }
    mix(sums, tile, shares, takes_part,
        [&](int block, int span) { return seen_by(row, block, span); });
  }
}

/// Adds the tile that begins at `begin`. For a query that sees nothing of it this changes nothing.
template <class T, int kHalves, int kBlocks, class Value>
VITRINE_DEVICE void add_tile(Sums<kHalves, kBlocks>& sums, const Weights<T, kHalves>& tile,
                             const QueryRows& rows, int begin, const Value& value) {
  Shares shares[kHalves];
  bool all[kHalves];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    shares[half] = join(sums.softmax[half], tile.softmax[half]);
    all[half] = true;
  }
  if (begin + kKeyTile <= rows.shortest)
    mix(sums, tile, shares, all, value);
  else
    mix_masked(sums, tile, shares, rows, begin, value);
}

/// Two neighbouring elements, the second only if there is one.
template <class T>
VITRINE_DEVICE void store_pair(T* to, float first, float second, bool both) {
  struct alignas(2 * sizeof(T)) Pair {
    T first, second;
  };
  const Pair pair{narrow<T>(first), narrow<T>(second)};
  if (both && reinterpret_cast<uintptr_t>(to) % sizeof(Pair) == 0) {
    *reinterpret_cast<Pair*>(to) = pair;
    return;
  }
  to[0] = pair.first;
  if (both) to[1] = pair.second;
}

/// z = o / sum of the queries; z is that of query 0 and the first channel of `sums`, of `channels`
/// that are the head's.
template <class T, int kHalves, int kBlocks>
VITRINE_DEVICE void store_z(const Sums<kHalves, kBlocks>& sums, int count, T* z, int64_t stride,
                            int channels) {
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    const int row = lane_row() + 8 * half;
    const float inverse = 1.0f / sums.softmax[half].sum;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      const int channel = 8 * block + 2 * lane_quad();
      if (row >= count || channel >= channels) continue;
      const float* o = sums.o[block] + 2 * half;
      store_pair<T>(z + row * stride + channel, o[0] * inverse, o[1] * inverse,
                    channel + 1 < channels);
    }
  }
}

/// lse is that of query 0; null if it was not requested.
template <int kHalves, int kBlocks>
VITRINE_DEVICE void store_lse(const Sums<kHalves, kBlocks>& sums, int count, float* lse,
                              int64_t stride) {
  if (lse == nullptr || lane_quad() != 0) return;
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    const int row = lane_row() + 8 * half;
    if (row < count) lse[row * stride] = log_sum_exp(sums.softmax[half]);
  }
}

}  // namespace vitrine::internal::cuda
