// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class LogitStatsTest : public KernelTest {
 protected:
  struct Stats {
    std::vector<int32_t> top_ids, ranks;
    std::vector<float> top_logits, watched;
    std::vector<float> lse, entropy;
  };

  static Stats stats_of(Backend& backend, Mat x, const PackedMatrix& unembed, int top_k,
                        std::span<const int32_t> watch) {
    LogitStatsArgs args;
    args.x = x;
    args.unembed = &unembed;
    return stats_of(backend, args, x.rows, top_k, watch);
  }

  static Stats stats_of_logits(Backend& backend, Mat logits, int top_k,
                               const std::vector<int32_t>& watch) {
    LogitStatsArgs args;
    args.logits = logits;
    return stats_of(backend, args, logits.rows, top_k, watch);
  }

  static Stats stats_of(Backend& backend, LogitStatsArgs args, int64_t count, int top_k,
                        std::span<const int32_t> watch) {
    const auto rows = static_cast<size_t>(count), k = static_cast<size_t>(top_k);
    Stats s{std::vector<int32_t>(rows * k), std::vector<int32_t>(watch.size()),
            std::vector<float>(rows * k),   std::vector<float>(watch.size()),
            std::vector<float>(rows),       std::vector<float>(rows)};
    args.top_k = top_k;
    args.top_ids = s.top_ids.data();
    args.top_logits = s.top_logits.data();
    args.lse = s.lse.data();
    args.entropy = s.entropy.data();
    args.watch = watch;
    args.watch_logits = s.watched.data();
    args.watch_ranks = s.ranks.data();
    backend.logit_stats(args);
    return s;
  }

  /// Two rows of these logits.
  void check_exactly(const std::vector<float>& values, int top_k,
                     const std::vector<int32_t>& watch) {
    const auto vocab = static_cast<int64_t>(values.size());
    const Buffer buffer = backend->allocate(backend->packed_bytes(1, vocab, DType::kF32));
    const PackedMatrix unembed =
        backend->pack({values.data(), DType::kF32, 1, vocab, vocab, 1}, DType::kF32, buffer.data());
    const Stats got = stats_of(*backend, Matrix(*backend, std::vector<float>{1.0f, 1.0f}, 2, 1),
                               unembed, top_k, watch);
    std::vector<int32_t> want = reference::ranking(std::span<const float>(values));
    want.resize(static_cast<size_t>(top_k), -1);
    for (size_t r = 0; r < 2; ++r) {
      const auto begin = got.top_ids.begin() + static_cast<std::ptrdiff_t>(r) * top_k;
      EXPECT_EQ(std::vector<int32_t>(begin, begin + top_k), want) << "row " << r;
      EXPECT_EQ(got.ranks[r], reference::rank(std::span<const float>(values), watch[r]));
    }
  }

  void check(int64_t rows, int64_t width, int64_t vocab, int top_k, DType dtype, DType x_type) {
    const Weight unembed = make_weight(*backend, random, width, vocab, dtype, Order::kOutIn);
    const Matrix x(*backend, normal(random, rows * width), rows, width, 0, x_type),
        full(*backend, rows, vocab);
    backend->linear({.x = x, .weight = &unembed.packed, .out = full});
    const std::vector<float> logits = full.values();
    constexpr int64_t kWatched = 6;
    std::vector<int32_t> watch;
    for (int64_t i = 0; i < kWatched * rows; ++i)
      watch.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
    const Stats got = stats_of(*backend, x, unembed.packed, top_k, watch);

    for (int64_t r = 0; r < rows; ++r) {
      const std::span<const float> row(logits.data() + r * vocab, static_cast<size_t>(vocab));
      const std::vector<int32_t> order = reference::ranking(row);
      for (int i = 0; i < top_k; ++i) {
        const auto at = static_cast<size_t>(r * top_k + i);
        ASSERT_EQ(got.top_ids[at], order[static_cast<size_t>(i)]);
        ASSERT_EQ(got.top_logits[at], row[static_cast<size_t>(order[static_cast<size_t>(i)])]);
      }
      for (size_t i = static_cast<size_t>(kWatched * r);
           i < static_cast<size_t>(kWatched * (r + 1)); ++i) {
        ASSERT_EQ(got.watched[i], row[static_cast<size_t>(watch[i])]);
        ASSERT_EQ(got.ranks[i], reference::rank(row, watch[i]));
      }
    }
    const Vec lse = reference::log_sum_exp(reference::widen(logits), vocab),
              entropy = reference::entropy(reference::widen(logits), vocab);
    Vec lse_tolerance, entropy_tolerance;
    for (double v : lse) lse_tolerance.push_back(tolerance::kLogSumExp(1, 1.0 + std::abs(v)));
    for (double v : entropy)
      entropy_tolerance.push_back(tolerance::kLogSumExp(1, 1.0 + std::abs(v)));
    EXPECT_TRUE(near(got.lse, lse, lse_tolerance));
    EXPECT_TRUE(near(got.entropy, entropy, entropy_tolerance));
  }
};

TEST_P(LogitStatsTest, SaysWhatTheFullLogitsSay) {
  const struct {
    int64_t rows, width, vocab;
    int top_k;
  } cases[] = {{1, 8, 1, 1},
               {3, 20, 37, 5},
               {5, 33, 1000, 10},
               {259, 16, 50, 3},
               {2, 64, slow_build() ? 2000 : 50257, 40}};
  for (const auto& c : cases) {
    for (DType dtype : GetParam().weight_types()) {
      const DType activations = backend->activation_dtype(dtype);
      SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.vocab << " " << dtype_name(dtype));
      check(c.rows, c.width, c.vocab, c.top_k, dtype, activations);
      if (activations != DType::kF32 && c.vocab < 10000)
        check(c.rows, c.width, c.vocab, c.top_k, dtype, DType::kF32);
    }
  }
}

TEST_P(LogitStatsTest, EqualLogitsGoBySmallerId) {
  // The logits repeat periodically: ties everywhere, more of them than a short list holds. Long
  // lists, too, and longer ones than there are tokens.
  const struct {
    int64_t vocab, period;
    int top_k;
  } cases[] = {{200, 7, 30},   {200, 7, 210}, {5000, 7, 30},      {5000, 2, 30},
               {5000, 2, 300}, {5000, 1, 1},  {5000, 4999, 2100}, {5000, 100, 5000}};
  for (const auto& c : cases) {
    SCOPED_TRACE(::testing::Message() << c.vocab << " by " << c.period << ", top " << c.top_k);
    std::vector<float> values;
    for (int64_t v = 0; v < c.vocab; ++v) values.push_back(static_cast<float>(v % c.period) - 3.0f);
    check_exactly(values, c.top_k, {static_cast<int32_t>(c.period - 1), 0});
  }
}

// Half of the requested number stand out, evenly spread: the others are as good as any.
TEST_P(LogitStatsTest, SomeAreFarAheadOfTheOthers) {
  std::vector<float> values;
  for (int v = 0; v < 5000; ++v)
    values.push_back(static_cast<float>(v * 7919 % 5000 + (v < 1024 && v % 8 == 0 ? 100000 : 0)));
  check_exactly(values, 250, {8, 9});
}

TEST_P(LogitStatsTest, ARowAloneAndAnyThreadsGiveTheSameBits) {
  const int64_t rows = 20, width = 40, vocab = 700;
  const Weight unembed = make_weight(*backend, random, width, vocab, DType::kBF16);
  const Matrix x(*backend, normal(random, rows * width), rows, width);
  std::vector<int32_t> watch(static_cast<size_t>(rows), 5);
  const Stats all = stats_of(*backend, x, unembed.packed, 4, watch);
  for (int threads : {1, 2, 3}) {
    const auto other = with_threads(threads);
    for (int64_t r = 0; r < rows; ++r) {
      const Stats alone =
          stats_of(*other, x.mat().row_range(r, 1), unembed.packed, 4, std::span(watch).first(1));
      const auto at = static_cast<size_t>(r);
      ASSERT_EQ(alone.lse[0], all.lse[at]);
      ASSERT_EQ(alone.entropy[0], all.entropy[at]);
      ASSERT_EQ(alone.watched[0], all.watched[at]);
      ASSERT_EQ(alone.top_ids[0], all.top_ids[4 * at]);
    }
  }
}

TEST_P(LogitStatsTest, GivenLogitsGiveTheSameBitsAsComputedOnes) {
  const int64_t rows = 133, width = 40, vocab = 700;
  const Weight unembed = make_weight(*backend, random, width, vocab, DType::kF32);
  const Matrix x(*backend, normal(random, rows * width), rows, width),
      full(*backend, rows, vocab, vocab + 5);
  LinearArgs linear;
  linear.x = x;
  linear.weight = &unembed.packed;
  linear.out = full;
  backend->linear(linear);
  std::vector<int32_t> watch(static_cast<size_t>(rows) * 2, 5);
  const Stats computed = stats_of(*backend, x, unembed.packed, 4, watch),
              given = stats_of_logits(*backend, full, 4, watch);
  EXPECT_EQ(given.top_ids, computed.top_ids);
  EXPECT_EQ(given.ranks, computed.ranks);
  EXPECT_TRUE(same_bits(given.top_logits, computed.top_logits));
  EXPECT_TRUE(same_bits(given.watched, computed.watched));
  EXPECT_TRUE(same_bits(given.lse, computed.lse));
  EXPECT_TRUE(same_bits(given.entropy, computed.entropy));
}

TEST_P(LogitStatsTest, RowsWithoutADistributionHaveNoNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                  kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const int64_t vocab : {1, 9, 5000}) {
    const std::vector<float> valid = normal(random, vocab);
    for (const float invalid : {kNaN, kInfinity, -kInfinity}) {
      for (const int64_t at : {int64_t{0}, vocab - 1}) {
        std::vector<float> logits = valid;
        if (invalid == -kInfinity)
          std::fill(logits.begin(), logits.end(), invalid);
        else
          logits[static_cast<size_t>(at)] = invalid;
        logits.insert(logits.end(), valid.begin(), valid.end());
        const int32_t own = static_cast<int32_t>(vocab / 2);
        const std::vector<int32_t> watch = {own, own};
        const Stats got = stats_of_logits(*backend, Matrix(*backend, logits, 2, vocab), 3, watch);
        SCOPED_TRACE(::testing::Message() << invalid << " at " << at << " of " << vocab);
        EXPECT_TRUE(std::isnan(got.lse[0]));
        EXPECT_TRUE(std::isnan(got.entropy[0]));
        EXPECT_EQ(got.ranks[0], 0);
        for (size_t k = 0; k < 3; ++k) {
          EXPECT_EQ(got.top_ids[k], -1);
          EXPECT_TRUE(std::isnan(got.top_logits[k]));
        }
        EXPECT_TRUE(std::isfinite(got.lse[1]));
        EXPECT_EQ(got.ranks[1], reference::rank(std::span<const float>(valid), own));
        EXPECT_EQ(got.top_ids[3], reference::ranking(std::span<const float>(valid))[0]);
      }
    }
  }
}

TEST_P(LogitStatsTest, ForbiddenTokensTakeNoPart) {
  std::vector<float> logits(50, -std::numeric_limits<float>::infinity());
  logits[7] = logits[30] = 4.0f;  // two equal ones: entropy ln 2
  const Stats got = stats_of_logits(*backend, Matrix(*backend, logits, 1, 50), 3, {7});
  EXPECT_NEAR(got.lse[0], 4.0 + std::log(2.0), 1e-6);
  EXPECT_NEAR(got.entropy[0], std::log(2.0), 1e-6);
  EXPECT_EQ(got.ranks[0], 1);
  EXPECT_EQ(got.top_ids, (std::vector<int32_t>{7, 30, 0}));
}

VITRINE_FOR_EACH_BACKEND(LogitStatsTest);

}  // namespace
}  // namespace vitrine::testing
