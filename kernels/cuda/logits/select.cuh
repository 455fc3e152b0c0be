// SPDX-License-Identifier: MIT
#pragma once

#include <bit>

#include "kernels/cuda/device/primitives.cuh"

// How a block finds the best of the tokens of one row, or the token at which a running sum over
// them, best first, goes beyond a target. The order of tokens is that of their *keys*, whole
// numbers that are all different: the higher the score, the higher the key; equal scores: the
// smaller the id, the higher the key. Sums are of whole numbers, so their order does not matter,
// and atomic additions give the same result always. The block may be of any number of whole warps.
//
// In two ways:
//   - shortlist(): a bound that lets a few hundred tokens pass is found from the threads' own
//   maxima, and these are sorted. Two
//     passes over the row. Fast, but not for everything that might be asked.
//   - descend(): the key is found from its highest bits to its lowest, 8 bits a pass, from the sums
//   of the tokens with the same
//     bits. Each of the 256 sums has a copy for each lane, because most tokens of a row share their
//     first bits.

namespace vitrine::internal::cuda {

using Key = uint64_t;
using Mass = unsigned long long;  // the type that CUDA's atomicAdd knows

inline constexpr int kShortlist = 2048;  ///< keys at most; a power of two
inline constexpr int kBins = 256;

/// The shared memory of a block that selects.
struct SelectMemory {
  union {
    Key best[kShortlist];
    Mass sums[kBins][kWarp];  ///< descend()'s; the two are not used at the same time
  };
  Mass warps[kWarp];
  Mass before;
  int index;
  int count;
};

/// Higher for higher scores; -0 and 0 alike; a NaN is below everything.
VITRINE_DEVICE uint32_t score_key(float score) {
  if (score != score) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
VITRINE_DEVICE Key key_of(float score, int id) {
  return static_cast<Key>(score_key(score)) << 32 | ~static_cast<uint32_t>(id);
}
VITRINE_DEVICE int id_of(Key key) { return static_cast<int>(~static_cast<uint32_t>(key)); }
VITRINE_DEVICE uint32_t score_key_of(Key key) { return static_cast<uint32_t>(key >> 32); }

template <class T>
VITRINE_DEVICE T larger(T a, T b) {
  return a > b ? a : b;
}

/// f(id) for each of the thread's tokens; the same ones in every pass.
template <class F>
VITRINE_DEVICE void for_each_token(int vocab, const F& f) {
#pragma unroll 4
  for (int id = static_cast<int>(threadIdx.x); id < vocab; id += static_cast<int>(blockDim.x))
    f(id);
}

/// The highest of all threads' values. `slots` is free again after the next barrier.
template <class T, class Slot>
VITRINE_DEVICE T block_max(T value, Slot* slots) {
  value = warp_max(value);
  if (lane_id() == 0) slots[warp_id()] = value;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  return warp_max(static_cast<T>(slots[lane_id() < warps ? lane_id() : 0]));
}

struct Crossing {
  int index;    ///< `count` if the sum of all values is not beyond the target
  Mass before;  ///< the sum of the values before it
};

/// Where the running sum of value(0), ..., value(count - 1) first goes beyond the target.
template <class F>
VITRINE_DEVICE Crossing first_beyond(Mass target, int count, const F& value, SelectMemory& m) {
  const int lane = lane_id(), each = static_cast<int>(ceil_div(count, blockDim.x));
  const int begin = static_cast<int>(threadIdx.x) * each,
            end = begin + each < count ? begin + each : count;
  Mass own = 0;
  for (int i = begin; i < end; ++i) own += value(i);
  Mass upto = own;  // with all lanes before
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const Mass other = shuffle(upto, lane >= distance ? lane - distance : 0);
    if (lane >= distance) upto += other;
  }
  if (lane == kWarp - 1) m.warps[warp_id()] = upto;
  if (threadIdx.x == 0) m.index = count;
  __syncthreads();
  Mass before = upto - own;
  for (int w = 0; w < warp_id(); ++w) before += m.warps[w];
  if (before <= target && target < before + own) {  // one thread at most
    int i = begin;
    for (Mass next = value(i); before + next <= target; next = value(++i)) before += next;
    m.index = i;
    m.before = before;
  }
  __syncthreads();
  const Crossing found{m.index, m.before};
  __syncthreads();
  return found;
}

/// The key at which the sum of mass(key) over the keys in descending order first goes beyond the
/// target, or the highest bits of it, down to bit `lowest` (a multiple of 8). There must be one.
/// `before`: the sum over higher keys than those with these bits.
template <class KeyOf, class MassOf>
VITRINE_DEVICE Key descend(int vocab, int lowest, Mass target, const KeyOf& key_at,
                           const MassOf& mass, Mass& before, SelectMemory& m) {
  Key found = 0;
  before = 0;
  for (int shift = 56; shift >= lowest; shift -= 8) {
    const Key above = shift == 56 ? 0 : ~Key{0} << (shift + 8);
    if (shift < 32 &&
        (vocab - 1) >> shift == 0) {  // ids have no such bits, so here they are all ones
      found |= Key{0xff} << shift;
      continue;
    }
    for (int i = static_cast<int>(threadIdx.x); i < kBins * kWarp;
         i += static_cast<int>(blockDim.x)) {
      m.sums[i / kWarp][i % kWarp] = 0;
    }
    __syncthreads();
    for_each_token(vocab, [&](int id) {
      const Key key = key_at(id);
      if ((key & above) == found)
        atomicAdd(&m.sums[(key >> shift) & (kBins - 1)][lane_id()], mass(key));
    });
    __syncthreads();
    const auto sum_of = [&](int i) {  // from the highest bin on; lanes begin at different banks
      Mass sum = 0;
      for (int copy = 0; copy < kWarp; ++copy) sum += m.sums[kBins - 1 - i][(copy + i) % kWarp];
      return sum;
    };
    const Crossing bin = first_beyond(target - before, kBins, sum_of, m);
    found |= static_cast<Key>(kBins - 1 - bin.index) << shift;
    before += bin.before;
  }
  return found;
}

/// The number of keys in m.best that are at least `bound`'s, added in any order; what goes beyond
/// `room` is not kept.
template <class KeyOf>
VITRINE_DEVICE int collect(int vocab, Key bound, Key* to, int room, const KeyOf& key_at,
                           SelectMemory& m) {
  if (threadIdx.x == 0) m.count = 0;
  __syncthreads();
  for_each_token(vocab, [&](int id) {
    const Key key = key_at(id);
    if (key < bound) return;
    const int at = atomicAdd(&m.count, 1);
    if (at < room) to[at] = key;
  });
  __syncthreads();
  return m.count;
}

/// Sorts keys, best first, padded with zeros to a power of two of at least 2, which the buffer must
/// hold.
VITRINE_DEVICE void sort_best_first(Key* keys, int count) {
  int size = 2;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x))
    keys[i] = 0;
  __syncthreads();
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      for (int pair = static_cast<int>(threadIdx.x); pair < size / 2;
           pair += static_cast<int>(blockDim.x)) {
        const int low = (pair & ~(distance - 1)) * 2 + (pair & (distance - 1)),
                  high = low + distance;
        const bool best_first = (low & run) == 0;
        const Key a = keys[low], b = keys[high];
        if ((a < b) == best_first) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

/// Score that at least `wanted` tokens reach, and not many more: the lowest of the maxima of
/// `wanted` groups of threads. 0 if there are too few threads for that number of groups.
template <class KeyOf>
VITRINE_DEVICE uint32_t bound_for(int vocab, int wanted, const KeyOf& key_at, SelectMemory& m) {
  int group = kWarp;  // threads
  while (group > 0 && static_cast<int>(blockDim.x) / group < wanted) group /= 2;
  if (group == 0) return 0;
  uint32_t highest = 0;
  for_each_token(vocab, [&](int id) { highest = larger(highest, score_key_of(key_at(id))); });
  for (int mask = 1; mask < group; mask *= 2) highest = larger(highest, shuffle_xor(highest, mask));
  return ~block_max(~highest, m.warps);
}

/// The best tokens' keys in m.best, sorted: at least `wanted` of them (or all there are), and all
/// that equal the last in score. Returns how many; -1 if they are too many.
template <class KeyOf>
VITRINE_DEVICE int shortlist(int vocab, int wanted, const KeyOf& key_at, SelectMemory& m) {
  const uint32_t bound = vocab <= kShortlist ? 0 : bound_for(vocab, wanted, key_at, m);
  const int count = collect(vocab, static_cast<Key>(bound) << 32, m.best, kShortlist, key_at, m);
  if (count > kShortlist) return -1;
  sort_best_first(m.best, count);
  return count;
}

}  // namespace vitrine::internal::cuda
