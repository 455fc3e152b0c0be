// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/logits/select.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Statistics of rows of logits. Logits are computed for as few rows at a time as fit the L2 cache,
// then one block per row reads them a few times. Sums are in double, each thread's tokens in order,
// then block_sum(); the number of threads follows from the size of the vocabulary.

namespace vitrine::internal {
namespace {

using namespace cuda;

constexpr int kMostThreads = 1024;
constexpr int kFewBest = 256;         // top_k up to which a shortlist is tried
constexpr int kWatchedAtOnce = 4;     // in one pass over the row
constexpr int64_t kRowsAtOnce = 128;  // 26 MB of GPT-2's vocabulary, half of an H100's second
                                      // cache; enough rows to keep it busy

struct Stats {
  const float* logits;
  int64_t stride;
  int vocab, top_k, watched;
  int32_t* top_ids;
  float* top_logits;
  float* lse;
  float* entropy;
  const int32_t* watch;
  float* watch_logits;
  int32_t* watch_ranks;  ///< by look_up(); 0 where the row is not a distribution
  Key* long_lists;       ///< where top_k is more than shared memory holds: long_size for each block
  int64_t long_size;
};

struct StatsMemory {
  SelectMemory select;
  float highest[kWarp];
  double totals[kWarp], weighted[kWarp];
  int counts[kWatchedAtOnce][kWarp];
};

/// Whether the row is a distribution; the same in all threads.
VITRINE_DEVICE bool sum_up(const Stats& s, int64_t row, const float* logits, StatsMemory& m) {
  float highest = -std::numeric_limits<float>::infinity();
  for_each_token(s.vocab, [&](int id) { highest = fmaxf(highest, logits[id]); });
  highest = block_max(highest, m.highest);
  double total = 0.0, weighted = 0.0;
  for_each_token(s.vocab, [&](int id) {
    const float distance = logits[id] - highest, e = expf(distance);
    total += static_cast<double>(e);
    weighted += static_cast<double>(e * fmaxf(distance, -1000.0f));  // 0 times -infinity is 0 here
  });
  total = block_sum(total, m.totals);
  weighted = block_sum(weighted, m.weighted);
  // A NaN, a +infinity, and nothing but -infinity each make the sum a NaN.
  const bool valid = total == total;
  if (threadIdx.x == 0) {
    const double log_total = log(total);
    s.lse[row] = static_cast<float>(static_cast<double>(highest) + log_total);
    s.entropy[row] = static_cast<float>(log_total - weighted / total);
  }
  return valid;
}

VITRINE_DEVICE void look_up(const Stats& s, int64_t row, const float* logits, bool valid,
                            StatsMemory& m) {
  for (int first = 0; first < s.watched; first += kWatchedAtOnce) {
    const int64_t at = row * s.watched + first;
    float own[kWatchedAtOnce];
    int greater[kWatchedAtOnce] = {};
#pragma unroll
    for (int i = 0; i < kWatchedAtOnce; ++i)
      own[i] = logits[s.watch[first + i < s.watched ? at + i : at]];
    for_each_token(s.vocab, [&](int id) {
      const float x = logits[id];
#pragma unroll
      for (int i = 0; i < kWatchedAtOnce; ++i) greater[i] += x > own[i];
    });
#pragma unroll
    for (int i = 0; i < kWatchedAtOnce; ++i) {
      const int count = block_sum(greater[i], m.counts[i]);
      if (threadIdx.x != 0 || first + i >= s.watched) continue;
      s.watch_logits[at + i] = own[i];
      s.watch_ranks[at + i] = valid ? 1 + count : 0;
    }
  }
}

VITRINE_DEVICE void find_nothing(const Stats& s, int64_t row) {
  for (int i = static_cast<int>(threadIdx.x); i < s.top_k; i += static_cast<int>(blockDim.x)) {
    s.top_ids[row * s.top_k + i] = -1;
    s.top_logits[row * s.top_k + i] = std::numeric_limits<float>::quiet_NaN();
  }
}

VITRINE_DEVICE void find_best(const Stats& s, int64_t row, const float* logits, SelectMemory& m) {
  const auto key_at = [&](int id) { return key_of(logits[id], id); };
  const int wanted = s.top_k < s.vocab ? s.top_k : s.vocab;
  Key* best = m.best;
  const bool few = wanted <= kFewBest || s.vocab <= kShortlist;
  if (!few || shortlist(s.vocab, wanted, key_at, m) < 0) {
    Mass before = 0;
    const Key last = descend(
        s.vocab, 0, static_cast<Mass>(wanted - 1), key_at, [](Key) { return Mass{1}; }, before, m);
    if (wanted > kShortlist) best = s.long_lists + blockIdx.x * s.long_size;
    collect(s.vocab, last, best, wanted, key_at, m);
    sort_best_first(best, wanted);
  }
  for (int i = static_cast<int>(threadIdx.x); i < s.top_k; i += static_cast<int>(blockDim.x)) {
    const int id = i < wanted ? id_of(best[i]) : -1;
    s.top_ids[row * s.top_k + i] = id;
    s.top_logits[row * s.top_k + i] = id < 0 ? -std::numeric_limits<float>::infinity() : logits[id];
  }
}

__global__ void __launch_bounds__(kMostThreads) stats_of_rows(Stats s, int64_t first_row) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  StatsMemory& m = *shared_memory<StatsMemory>();
  const int64_t row = first_row + blockIdx.x;
  const float* logits = s.logits + blockIdx.x * s.stride;
  const bool valid = sum_up(s, row, logits, m);
  look_up(s, row, logits, valid, m);
  if (s.top_k == 0) return;
  if (valid)
    find_best(s, row, logits, m.select);
  else
    find_nothing(s, row);
}

/// Parts of one buffer, each where an array of any type may begin.
class Parts {
 public:
  size_t take(size_t bytes) {
    const size_t begin = used_;
    used_ += (bytes + 255) / 256 * 256;
    return begin;
  }
  size_t used() const { return used_; }

 private:
  size_t used_ = 0;
};

}  // namespace

void CudaBackend::logit_stats(const LogitStatsArgs& args) {
  const bool given = static_cast<bool>(args.logits);
  const int64_t rows = given ? args.logits.rows : args.x.rows,
                vocab = given ? args.logits.cols : args.unembed->out,
                stride = given ? args.logits.stride : ceil_div(vocab, kQuad) * kQuad;
  if (rows == 0) return;
  const size_t row_bytes = static_cast<size_t>(stride) * sizeof(float),
               n = static_cast<size_t>(rows);
  const int64_t at_once = std::min(kRowsAtOnce, rows);
  const size_t listed = n * static_cast<size_t>(args.top_k) * sizeof(int32_t),
               watched = args.watch.size_bytes();
  const int64_t wanted = std::min<int64_t>(args.top_k, vocab);
  const auto long_size =
      static_cast<int64_t>(wanted > kShortlist ? std::bit_ceil(static_cast<uint64_t>(wanted)) : 0);

  Parts parts;
  const size_t logits = parts.take(given ? 0 : static_cast<size_t>(at_once) * row_bytes),
               watch = parts.take(watched);
  const size_t long_lists = parts.take(static_cast<size_t>(at_once * long_size) * sizeof(Key));
  const size_t top_ids = parts.take(listed), top_logits = parts.take(listed);
  const size_t lse = parts.take(n * sizeof(float)), entropy = parts.take(n * sizeof(float));
  const size_t watch_logits = parts.take(watched), watch_ranks = parts.take(watched);
  if (stats_.bytes() < parts.used()) {
    stats_ = {};
    stats_ = allocate(parts.used());
  }
  const auto floats = [&](size_t part) { return reinterpret_cast<float*>(stats_.data() + part); };
  const auto ints = [&](size_t part) { return reinterpret_cast<int32_t*>(stats_.data() + part); };
  upload(ints(watch), args.watch.data(), watched);

  Stats stats{given ? args.logits.f32() : floats(logits),
              stride,
              static_cast<int>(vocab),
              args.top_k,
              static_cast<int>(args.watch.size() / n),
              ints(top_ids),
              floats(top_logits),
              floats(lse),
              floats(entropy),
              ints(watch),
              floats(watch_logits),
              ints(watch_ranks),
              reinterpret_cast<Key*>(stats_.data() + long_lists),
              long_size};
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    const int64_t count = std::min(at_once, rows - begin);
    if (given)
      stats.logits = args.logits.row(begin);
    else
      linear({.x = args.x.row_range(begin, count),
              .weight = args.unembed,
              .bias = args.bias,
              .out = Mat(floats(logits), count, vocab, stride)});
    const LaunchShape shape{.grid = dim3(count),
                            .block = dim3(threads_for(ceil_div(vocab, kQuad), kMostThreads)),
                            .shared = sizeof(StatsMemory),
                            .may_start_early = true};
    launch(*device_, shape, stats_of_rows, stats, begin);
  }

  const auto bring = [&](void* to, size_t part, size_t bytes) {
    if (to != nullptr) download(to, stats_.data() + part, bytes);
  };
  bring(args.top_ids, top_ids, listed);
  bring(args.top_logits, top_logits, listed);
  bring(args.lse, lse, n * sizeof(float));
  bring(args.entropy, entropy, n * sizeof(float));
  bring(args.watch_logits, watch_logits, watched);
  bring(args.watch_ranks, watch_ranks, watched);
}

}  // namespace vitrine::internal
