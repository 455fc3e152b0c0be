#include "tests/kernels/harness.h"

namespace vitrine::testing {
namespace {

class LogitStatsTest : public KernelTest {
 protected:
  struct Stats {
    std::vector<int32_t> top_ids, ranks;
    std::vector<float> top_logits, watched;
    std::vector<float> lse, entropy;
  };

  static Stats stats_of(Backend& backend, Mat x, const PackedMatrix& unembed, int top_k, std::span<const int32_t> watch) {
    const auto rows = static_cast<size_t>(x.rows), k = static_cast<size_t>(top_k);
    Stats s{std::vector<int32_t>(rows * k),   std::vector<int32_t>(watch.size()), std::vector<float>(rows * k),
            std::vector<float>(watch.size()), std::vector<float>(rows),           std::vector<float>(rows)};
    LogitStatsArgs args;
    args.x = x;
    args.unembed = &unembed;
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
};

TEST_P(LogitStatsTest, SaysWhatTheFullLogitsSay) {
  const struct {
    int64_t rows, width, vocab;
    int top_k;
  } cases[] = {{1, 8, 1, 1}, {3, 20, 37, 5}, {5, 33, 1000, 10}, {130, 16, 50, 3}, {2, 64, slow_build() ? 2000 : 50257, 40}};
  for (const auto& c : cases) {
    for (DType dtype : kWeightTypes) {
      SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.vocab << " " << dtype_name(dtype));
      const Weight unembed = make_weight(*backend, random, c.width, c.vocab, dtype, Order::kOutIn);
      const Matrix x(*backend, normal(random, c.rows * c.width), c.rows, c.width), full(*backend, c.rows, c.vocab);
      LinearArgs linear;
      linear.x = x;
      linear.weight = &unembed.packed;
      linear.out = full;
      backend->linear(linear);
      const std::vector<float> logits = full.values();
      std::vector<int32_t> watch;
      for (int64_t i = 0; i < 3 * c.rows; ++i) watch.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(c.vocab)));
      const Stats got = stats_of(*backend, x, unembed.packed, c.top_k, watch);

      for (int64_t r = 0; r < c.rows; ++r) {
        const std::span<const float> row(logits.data() + r * c.vocab, static_cast<size_t>(c.vocab));
        const std::vector<int32_t> order = reference::ranking(row);
        for (int i = 0; i < c.top_k; ++i) {
          const auto at = static_cast<size_t>(r * c.top_k + i);
          ASSERT_EQ(got.top_ids[at], order[static_cast<size_t>(i)]);
          ASSERT_EQ(got.top_logits[at], row[static_cast<size_t>(order[static_cast<size_t>(i)])]);
        }
        for (size_t i = static_cast<size_t>(3 * r); i < static_cast<size_t>(3 * r + 3); ++i) {
          ASSERT_EQ(got.watched[i], row[static_cast<size_t>(watch[i])]);
          ASSERT_EQ(got.ranks[i], reference::rank(row, watch[i]));
        }
      }
      const Vec lse = reference::log_sum_exp(reference::widen(logits), c.vocab),
                entropy = reference::entropy(reference::widen(logits), c.vocab);
      Vec lse_tolerance, entropy_tolerance;
      for (double v : lse) lse_tolerance.push_back(tolerance::kLogSumExp(1, 1.0 + std::abs(v)));
      for (double v : entropy) entropy_tolerance.push_back(tolerance::kLogSumExp(1, 1.0 + std::abs(v)));
      EXPECT_TRUE(near(got.lse, lse, lse_tolerance));
      EXPECT_TRUE(near(got.entropy, entropy, entropy_tolerance));
    }
  }
}

TEST_P(LogitStatsTest, EqualLogitsGoBySmallerId) {
  const int64_t vocab = 200;  // every column repeats each seventh token: ties everywhere
  std::vector<float> values;
  for (int64_t v = 0; v < vocab; ++v) values.push_back(static_cast<float>(v % 7));
  const Buffer buffer = backend->allocate(backend->packed_bytes(1, vocab, DType::kF32));
  const PackedMatrix unembed = backend->pack({values.data(), DType::kF32, 1, vocab, vocab, 1}, DType::kF32, buffer.data());
  const std::vector<float> one = {1.0f};
  const std::vector<int32_t> watch = {13};
  const Stats got = stats_of(*backend, Matrix(*backend, one, 1, 1), unembed, 30, watch);
  EXPECT_EQ(got.top_ids, [&] {
    std::vector<int32_t> order = reference::ranking(std::span<const float>(values));
    order.resize(30);
    return order;
  }());
  EXPECT_EQ(got.ranks[0], 1);
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
      const Stats alone = stats_of(*other, x.mat().row_range(r, 1), unembed.packed, 4, std::span(watch).first(1));
      const auto at = static_cast<size_t>(r);
      ASSERT_EQ(alone.lse[0], all.lse[at]);
      ASSERT_EQ(alone.entropy[0], all.entropy[at]);
      ASSERT_EQ(alone.watched[0], all.watched[at]);
      ASSERT_EQ(alone.top_ids[0], all.top_ids[4 * at]);
    }
  }
}

VITRINE_FOR_EACH_BACKEND(LogitStatsTest);

}  // namespace
}  // namespace vitrine::testing
