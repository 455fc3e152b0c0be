// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/logits_kernels.h"
#include "kernels/cpu/parallel.h"

namespace vitrine::internal {
namespace {

// Logits held at once: the unembedding is read once for all their rows, and they stay in the last
// cache until they are counted.
constexpr int64_t kLogitsAtOnce = int64_t{4} << 20;

/// What args says of a row that is not a distribution.
void stats_of_nothing(const LogitStatsArgs& args, int64_t r) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  if (args.lse != nullptr) args.lse[r] = kNaN;
  if (args.entropy != nullptr) args.entropy[r] = kNaN;
  for (int64_t i = r * args.top_k; i < (r + 1) * args.top_k; ++i) {
    args.top_ids[i] = -1;
    args.top_logits[i] = kNaN;
  }
}

void stats_of_row(const LogitStatsArgs& args, int64_t r, std::span<const float> logits,
                  int64_t watched) {
  const cpu::LogitSums sums = cpu::logit_sums(logits);
  const bool valid = std::isfinite(sums.total);  // NaN where a logit is NaN, +inf, or all are -inf
  for (int64_t i = r * watched; i < (r + 1) * watched; ++i) {
    const float own = logits[static_cast<size_t>(args.watch[static_cast<size_t>(i)])];
    if (args.watch_logits != nullptr) args.watch_logits[i] = own;
    if (args.watch_ranks != nullptr)
      args.watch_ranks[i] = valid ? 1 + cpu::count_greater(logits, own) : 0;
  }
  if (!valid) return stats_of_nothing(args, r);
  if (args.lse != nullptr)
    args.lse[r] = static_cast<float>(static_cast<double>(sums.highest) + std::log(sums.total));
  if (args.entropy != nullptr)
    args.entropy[r] = static_cast<float>(std::log(sums.total) - sums.weighted / sums.total);
  if (args.top_k > 0)
    cpu::top_logits(logits, args.top_k, args.top_ids + r * args.top_k,
                    args.top_logits + r * args.top_k);
}

}  // namespace

void CpuBackend::logit_stats(const LogitStatsArgs& args) {
  const int64_t count = args.logits ? args.logits.rows : args.x.rows;
  if (count == 0) return;
  const auto watched = static_cast<int64_t>(args.watch.size()) / count;
  const auto see = [&](int64_t begin, Mat logits) {
    cpu::parallel_for(threads_, logits.rows, [&](int64_t r) {
      stats_of_row(args, begin + r, {logits.row(r), static_cast<size_t>(logits.cols)}, watched);
    });
  };
  if (args.logits) return see(0, args.logits);
  const int64_t vocab = args.unembed->out,
                step = std::clamp<int64_t>(kLogitsAtOnce / vocab, 8, std::max<int64_t>(count, 8));
  const auto lease = scratch_.borrow(static_cast<size_t>(std::min(step, count) * vocab));
  for (int64_t begin = 0; begin < count; begin += step) {
    const int64_t rows = std::min(step, count - begin);
    const Mat logits(lease.f32(), rows, vocab);
    linear({.x = args.x.row_range(begin, rows),
            .weight = args.unembed,
            .bias = args.bias,
            .out = logits});
    see(begin, logits);
  }
}

}  // namespace vitrine::internal
