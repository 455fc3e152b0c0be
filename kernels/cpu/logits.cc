#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace vitrine {
namespace {

// Rows whose logits are held at once: the unembedding is read once for all of them.
int64_t rows_at_once(int64_t vocab) { return std::clamp<int64_t>((int64_t{4} << 20) / vocab, 8, 96); }

void top_of_row(std::span<const float> logits, int k, int32_t* ids, float* values) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  for (int i = 0; i < k; ++i) {
    ids[i] = order[static_cast<size_t>(i)];
    values[i] = logits[static_cast<size_t>(ids[i])];
  }
}

void stats_of_row(const LogitStatsArgs& args, int64_t r, std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0, weighted = 0.0;
  for (float x : logits) {
    const double e = std::exp(x - highest);
    sum += e;
    if (e > 0.0) weighted += e * (x - highest);
  }
  if (args.lse) args.lse[r] = static_cast<float>(highest + std::log(sum));
  if (args.entropy) args.entropy[r] = static_cast<float>(std::log(sum) - weighted / sum);
  if (args.top_k > 0) top_of_row(logits, args.top_k, args.top_ids + r * args.top_k, args.top_logits + r * args.top_k);
  const auto watched = static_cast<int64_t>(args.watch.size()) / args.x.rows;
  for (int64_t i = r * watched; i < (r + 1) * watched; ++i) {
    const float own = logits[static_cast<size_t>(args.watch[static_cast<size_t>(i)])];
    if (args.watch_logits) args.watch_logits[i] = own;
    if (args.watch_ranks) {
      args.watch_ranks[i] = 1 + static_cast<int32_t>(std::count_if(logits.begin(), logits.end(), [&](float x) { return x > own; }));
    }
  }
}

}  // namespace

void CpuBackend::logit_stats(const LogitStatsArgs& args) {
  const int64_t vocab = args.unembed->out, step = std::min(rows_at_once(vocab), args.x.rows);
  const auto lease = scratch_.borrow(static_cast<size_t>(step * vocab));
  for (int64_t begin = 0; begin < args.x.rows; begin += step) {
    const int64_t rows = std::min(step, args.x.rows - begin);
    const Mat logits(lease.f32(), rows, vocab);
    linear({.x = args.x.row_range(begin, rows), .weight = args.unembed, .out = logits});
    cpu::parallel_for(threads_, rows, [&](int64_t r) {
      stats_of_row(args, begin + r, {logits.row(r), static_cast<size_t>(vocab)});
    });
  }
}

}  // namespace vitrine
