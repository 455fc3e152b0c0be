// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>

#include "kernels/cuda/device/activation.cuh"
#include "kernels/cuda/device/kv_layout.cuh"

#if !defined(__CUDACC__)
#include <power_of_two.h>
#endif

// Attention of up to 32 queries of one head: what one warp does with one tile of 64 keys, and how
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
// are zeros in the sum, even where 0 times the value would be a NaN. kHalves is the number of a
// warp's queries by 8: a lane has rows l / 4 + 8 half, and two halves share an instruction.

namespace vitrine::internal::cuda {

inline constexpr int kKeyBlocks = kKeyTile / 8;  ///< blocks of 8 keys in a tile
inline constexpr int kLaneKeys = 16;             ///< keys of a tile that a lane holds of each row
template <class T>
inline constexpr int kTileSpans = kKeyTile / kSpan<T>;
inline constexpr float kMasked = -INFINITY;
template <int kHalves>
inline constexpr int kPairs = (kHalves + 1) / 2;  ///< of halves that share an instruction

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
  static constexpr bool kWindowed = false;
  int shortest = 0;  ///< positions that query 0 sees
  int count = 0;

  VITRINE_DEVICE int length(int row) const { return row < count ? shortest + row : 0; }
  VITRINE_DEVICE int longest() const { return count > 0 ? shortest + count - 1 : 0; }
  /// Where the first tile that any of them sees begins.
  VITRINE_DEVICE int first_tile() const { return 0; }
  /// Whether each query sees all of `keys` keys from `begin` on; any of them one; `row` one.
  VITRINE_DEVICE bool all_see(int begin, int keys = kKeyTile) const {
    return begin + keys <= shortest;
  }
  VITRINE_DEVICE bool any_sees(int begin, int = kKeyTile) const { return begin < longest(); }
  VITRINE_DEVICE bool reaches(int row, int begin) const { return begin < length(row); }
  /// Whether `row` sees the tile's key `key`.
  VITRINE_DEVICE bool sees(int row, int begin, int key) const { return key < length(row) - begin; }
};

/// The same where each query sees the nearest `window` of its positions alone, itself included.
struct WindowRows : QueryRows {
  static constexpr bool kWindowed = true;
  int window = 0;

  /// The first position that `row` sees.
  VITRINE_DEVICE int first(int row) const {
    const int begin = shortest + row - window;
    return begin > 0 ? begin : 0;
  }
  VITRINE_DEVICE int first_tile() const { return first(0) / kKeyTile * kKeyTile; }
  VITRINE_DEVICE bool all_see(int begin, int keys = kKeyTile) const {
    return QueryRows::all_see(begin, keys) && begin >= first(count - 1);
  }
  VITRINE_DEVICE bool any_sees(int begin, int keys = kKeyTile) const {
    return QueryRows::any_sees(begin) && begin + keys > first(0);
  }
  VITRINE_DEVICE bool reaches(int row, int begin) const {
    return QueryRows::reaches(row, begin) && begin + kKeyTile > first(row);
  }
  VITRINE_DEVICE bool sees(int row, int begin, int key) const {
    return QueryRows::sees(row, begin, key) && key >= first(row) - begin;
  }
};

// --- scores

/// The unscaled or scaled scores of a tile.
template <int kHalves>
using Scores = float[kPairs<kHalves>][kKeyBlocks][4];

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

/// f(half, key, score) for all scores of this lane; `key` is the score's place in the tile.
template <class T, int kHalves, class F>
VITRINE_DEVICE void for_each_score(float (&scores)[kPairs<kHalves>][kKeyBlocks][4], const F& f) {
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int i = 0; i < kLaneKeys; ++i)
      f(half, lane_key<T>(i / kChunk<T>) + i % kChunk<T>,
        scores[half / 2][i / 2][half % 2 * 2 + i % 2]);
  }
}

/// Sets what the queries do not see of the tile that begins at `begin` to `value`. Where all see
/// all of it, nothing is compared.
template <class T, int kHalves, class Rows>
VITRINE_DEVICE void hide(float (&scores)[kPairs<kHalves>][kKeyBlocks][4], const Rows& rows,
                         int begin, float value) {
  if (rows.all_see(begin)) return;
  for_each_score<T, kHalves>(scores, [&](int half, int key, float& score) {
    if (!rows.sees(lane_row() + 8 * half, begin, key)) score = value;
  });
}

// --- softmax

inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

/// 2^x within two units in the last place, in one instruction; 0 below the normal numbers.
VITRINE_DEVICE float power_of_two(float x) {
#if defined(__CUDACC__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return cuda_on_host::power_of_two(x);
#endif
}

/// Scores are dot products times the scale, rounded. A product with a power of two rounds nothing:
/// there it becomes part of a later multiplication, and the bits are the same.
struct ScoreScale {
  float first, rest;  ///< their product is the scale; one of them is 1

  VITRINE_DEVICE explicit ScoreScale(float scale) {
    const bool exact = (std::bit_cast<uint32_t>(scale) & 0x007fffffu) == 0;
    first = exact ? 1.0f : scale;
    rest = exact ? scale : 1.0f;
  }
  /// Multiplies with `first`.
  template <int kRows, int kColumns>
  VITRINE_DEVICE void apply(float (&products)[kRows][kColumns]) const {
    if (first == 1.0f) return;
#pragma unroll
    for (int i = 0; i < kRows * kColumns; ++i) products[i / kColumns][i % kColumns] *= first;
  }
};

/// exp(score - lse), of a score that was multiplied with scale.first.
VITRINE_DEVICE float share_of(float score, const ScoreScale& scale, float lse) {
  return power_of_two(fmaf(score, scale.rest, -lse) * kLog2E);
}

/// A softmax over some positions that others may join. An exponential is divided by 2 to the power
/// exponent_of_two(highest), which is rounded: all of a row are off by the same factor.
struct PartialSoftmax {
  float highest = kMasked;
  float sum = 0.0f;
};
VITRINE_DEVICE float exponent_of_two(float highest) { return highest * kLog2E; }

/// What two parts are multiplied with when they are put together.
struct Shares {
  float mine, theirs;
};

/// Of parts with these highest scores. A part in which all scores are -inf leaves the other as it
/// is, whatever that is; so does one that nothing was added to.
VITRINE_DEVICE Shares shares_of(float mine, float theirs) {
  const float highest = fmaxf(mine, theirs);
  const auto share = [&](float own) {
    return own == highest ? 1.0f : power_of_two(exponent_of_two(own) - exponent_of_two(highest));
  };
  return {share(mine), share(theirs)};
}
VITRINE_DEVICE float joined(float mine, float theirs, const Shares& shares) {
  return fmaf(theirs, shares.theirs, mine * shares.mine);
}

VITRINE_DEVICE Shares join(PartialSoftmax& mine, const PartialSoftmax& theirs) {
  const Shares shares = shares_of(mine.highest, theirs.highest);
  mine.highest = fmaxf(mine.highest, theirs.highest);
  mine.sum = joined(mine.sum, theirs.sum, shares);
  return shares;
}

VITRINE_DEVICE float log_sum_exp(const PartialSoftmax& softmax) {
  const float highest = softmax.highest, log = logf(softmax.sum);
  if (highest == kMasked) return highest;
  const float rounded_off = fmaf(highest, kLog2E, -exponent_of_two(highest));
  return highest + fmaf(-kLn2, rounded_off, log);
}

/// Turns the scores that four neighbouring lanes hold of one row of a tile, multiplied with
/// scale.first, into their exponentials.
VITRINE_DEVICE PartialSoftmax tile_softmax(float (&x)[kLaneKeys], const ScoreScale& scale) {
  PartialSoftmax tile;
  float top = kMasked;
#pragma unroll
  for (const float score : x) top = fmaxf(top, score);
  top = fmaxf(top, shuffle_xor(top, 1));
  top = fmaxf(top, shuffle_xor(top, 2));
  tile.highest = top * scale.rest;
  const float slope = exponent_of_two(scale.rest);
  const float shift = top == kMasked ? 0.0f : exponent_of_two(tile.highest);  // else -inf + inf
#pragma unroll
  for (float& p : x) {
    p = power_of_two(fmaf(p, slope, -shift));
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

/// From scores that were multiplied with scale.first.
template <class T, int kHalves>
VITRINE_DEVICE Weights<T, kHalves> weigh(const float (&scores)[kPairs<kHalves>][kKeyBlocks][4],
                                         const ScoreScale& scale) {
  Weights<T, kHalves> weights;
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    float x[kLaneKeys];
#pragma unroll
    for (int i = 0; i < kLaneKeys; ++i) x[i] = scores[half / 2][i / 2][half % 2 * 2 + i % 2];
    weights.softmax[half] = tile_softmax(x, scale);
#pragma unroll
    for (int span = 0; span < kTileSpans<T>; ++span)
      weights.p[half][span] = operand<T>(pack<T>(x + span * kChunk<T>));
  }
  return weights;
}
/// From the unscaled scores of the tile that begins at position `begin`.
template <class T, int kHalves, class Rows>
VITRINE_DEVICE Weights<T, kHalves> weigh(float (&scores)[kPairs<kHalves>][kKeyBlocks][4],
                                         float scale, const Rows& rows, int begin) {
  const ScoreScale by(scale);
#pragma unroll
  for (auto& pair : scores) by.apply(pair);
  hide<T, kHalves>(scores, rows, begin, kMasked);
  return weigh<T, kHalves>(scores, by);
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

/// The largest sizes among chunks: whether a weight of 0 takes no part in any product with them.
/// A NaN or an infinity makes it a NaN; and what is huge might still count when the products of a
/// sum are aligned.
template <class T>
struct Sizes {
  uint32_t largest = 0;  ///< bits, of two elements of 16

  VITRINE_DEVICE void add(const Chunk& chunk) {
#pragma unroll
    for (const uint32_t word : chunk.word) largest = larger(largest, word & kSizeBits);
  }
  VITRINE_DEVICE bool harmless() const {
    if constexpr (sizeof(T) == 4)
      return largest < kHarmful;
    else
      return (largest & 0xffffu) < kHarmful && largest >> 16 < kHarmful;
  }

 private:
  static constexpr uint32_t kSizeBits = sizeof(T) == 4 ? 0x7fffffffu : 0x7fff7fffu;
  /// Bits of 2^100; of infinity for F16.
  static constexpr uint32_t kHarmful = sizeof(T) == 4           ? 227u << 23
                                       : std::is_same_v<T, F16> ? 0x7c00u
                                                                : 227u << 7;

  /// Bits of sizes are ordered as the sizes are, NaNs last.
  static VITRINE_DEVICE uint32_t larger(uint32_t a, uint32_t b) {
    if constexpr (sizeof(T) == 4) return a > b ? a : b;
#if defined(__CUDACC__)
    uint32_t both;
    if constexpr (std::is_same_v<T, F16>)
      asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(both) : "r"(a), "r"(b));
    else
      asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(both) : "r"(a), "r"(b));
    return both;
#else
    return std::max(a & 0xffffu, b & 0xffffu) | std::max(a >> 16, b >> 16) << 16;
#endif
  }
};

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

/// o of each query that takes part, joined with p V; value(block, span) are this lane's 16 bytes of
/// 8 channels.
template <class T, int kHalves, int kBlocks, class Value>
VITRINE_DEVICE void mix(Sums<kHalves, kBlocks>& sums, const Weights<T, kHalves>& tile,
                        const Shares (&shares)[kHalves], const bool (&takes_part)[kHalves],
                        const Value& value) {
  if constexpr (kHalves == 1) {  // time counts
    constexpr int kTogether = kSideBySide<T>;
#pragma unroll
    for (int first = 0; first < kBlocks; first += kTogether) {
      float c[kTogether][4] = {};
#pragma unroll
      for (int span = 0; span < kTileSpans<T>; ++span) {
        Operand<T> right[kTogether];
#pragma unroll
        for (int i = 0; i < kTogether; ++i) right[i] = operand<T>(value(first + i, span));
        mma_spans<T>(c, tile.p[0][span], right);
      }
#pragma unroll
      for (int i = 0; i < 2 * kTogether; ++i) {
        float& o = sums.o[first + i / 2][i % 2];
        if (takes_part[0]) o = joined(o, c[i / 2][i % 2], shares[0]);
      }
    }
  } else {  // registers count
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      float c[kPairs<kHalves>][4] = {};
#pragma unroll
      for (int span = 0; span < kTileSpans<T>; ++span) {
        const Operand<T> right = operand<T>(value(block, span));
#pragma unroll
        for (int pair = 0; pair < kPairs<kHalves>; ++pair)
          mma_span<T>(c[pair], tile.p[2 * pair][span], tile.p[2 * pair + 1][span], right);
      }
#pragma unroll
      for (int i = 0; i < 2 * kHalves; ++i) {
        float& o = sums.o[block][i];
        if (takes_part[i / 2]) o = joined(o, c[i / 4][i % 4], shares[i / 2]);
      }
    }
  }
}

/// The same for a partially masked tile. Keys that no query sees are masked for every query. Keys
/// that only other queries see are multiplied by a p of 0; where the product may not be 0, each
/// query is computed separately.
template <class T, int kHalves, int kBlocks, class Rows, class Value>
VITRINE_DEVICE void mix_masked(Sums<kHalves, kBlocks>& sums, const Weights<T, kHalves>& tile,
                               const Shares (&shares)[kHalves], const Rows& rows, int begin,
                               const Value& value) {
  /// What the queries from `first` to `row` see, any of them.
  const auto seen_by = [&](int first, int row, int block, int span) {
    const int own = lane_key<T>(span);
    Chunk chunk = first_of<T>(value(block, span), rows.length(row) - begin - own);
    if constexpr (Rows::kWindowed) chunk = without_first<T>(chunk, rows.first(first) - begin - own);
    return chunk;
  };
  bool together = rows.count == 1;
  if (!together) {
    Sizes<T> sizes;
#pragma unroll
    for (int span = 0; span < kTileSpans<T>; ++span) {
      const int from = begin + span * kSpan<T>;
      if (rows.all_see(from, kSpan<T>) || !rows.any_sees(from, kSpan<T>)) continue;
#pragma unroll 2
      for (int block = 0; block < kBlocks; ++block)
        sizes.add(seen_by(0, rows.count - 1, block, span));
    }
    together = ballot(!sizes.harmless()) == 0;
  }
#pragma unroll 1
  for (int row = together ? rows.count - 1 : 0; row < rows.count; ++row) {
    __syncwarp();  // no lane waits for another: it keeps the compiler from holding all values in
                   // registers
    bool takes_part[kHalves];
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const int own = lane_row() + 8 * half;
      takes_part[half] = rows.reaches(own, begin) && (together || own == row);
    }
    mix(sums, tile, shares, takes_part,
        [&](int block, int span) { return seen_by(together ? 0 : row, row, block, span); });
  }
}

/// Adds the tile that begins at `begin`. For a query that sees nothing of it this changes nothing.
template <class T, int kHalves, int kBlocks, class Rows, class Value>
VITRINE_DEVICE void add_tile(Sums<kHalves, kBlocks>& sums, const Weights<T, kHalves>& tile,
                             const Rows& rows, int begin, const Value& value) {
  Shares shares[kHalves];
  bool all[kHalves];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    shares[half] = join(sums.softmax[half], tile.softmax[half]);
    all[half] = true;
  }
  if (rows.all_see(begin))
    mix(sums, tile, shares, all, value);
  else
    mix_masked(sums, tile, shares, rows, begin, value);
}

/// Two neighbouring elements.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T first, second;
};
/// Stores a row's channels, of which this lane has the Pair pair(i) at channel(i). Whether pairs
/// can be stored is decided once.
template <class T, int kCount, class Channel, class Values>
VITRINE_DEVICE void store_pairs(T* row, int channels, const Channel& channel, const Values& pair) {
  if (channels % 2 == 0 && reinterpret_cast<uintptr_t>(row) % sizeof(Pair<T>) == 0) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (channel(i) < channels) *reinterpret_cast<Pair<T>*>(row + channel(i)) = pair(i);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (channel(i) < channels) row[channel(i)] = pair(i).first;
      if (channel(i) + 1 < channels) row[channel(i) + 1] = pair(i).second;
    }
  }
}
/// This lane's first channel of a block of 8.
VITRINE_DEVICE int lane_channel(int block) { return 8 * block + 2 * lane_quad(); }

/// z = o / sum of the queries; z is that of query 0 and the first channel of `sums`, of `channels`
/// that are the head's.
template <class T, int kHalves, int kBlocks>
VITRINE_DEVICE void store_z(const Sums<kHalves, kBlocks>& sums, int count, T* z, int64_t stride,
                            int channels) {
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    const int row = lane_row() + 8 * half;
    const float inverse = quotient(1.0f, sums.softmax[half].sum);
    const auto pair = [&](int block) {
      const float* o = sums.o[block] + 2 * half;
      return Pair<T>{narrow<T>(o[0] * inverse), narrow<T>(o[1] * inverse)};
    };
    if constexpr (kHalves == 1) {
      if (row < count) store_pairs<T, kBlocks>(z + row * stride, channels, lane_channel, pair);
    } else {  // registers are too few to decide once
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        if (row < count)
          store_pairs<T, 1>(
              z + row * stride, channels, [&](int) { return lane_channel(block); },
              [&](int) { return pair(block); });
      }
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
