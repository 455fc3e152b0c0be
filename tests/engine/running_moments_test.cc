// SPDX-License-Identifier: MIT
// Moments of rows that stay where the model is: those of two passes over the same rows on the host,
// whatever came at once.

#include "vitrine/running_moments.h"

#include <cmath>
#include <limits>

#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "tests/support.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::odd_config;
using testing_support::tokens;

constexpr const char* kSite = "blocks.1.hook_resid_post";
constexpr int64_t kWidth = 60;

Model odd_model() { return Model::random(odd_config(), 3, testing_support::test_options()); }

/// Rows of eight texts, 560 in all: two whole blocks, and some that wait.
std::vector<Run> runs(const Model& model, Residence residence, DType store = DType::kF32) {
  std::vector<Run> all;
  for (int seed = 1; seed <= 8; ++seed) {
    all.push_back(model.forward(tokens(70, seed), Hooks().capture(kSite, {}, store),
                                {.logits = LogitRows::kNone, .residence = residence}));
  }
  return all;
}

void expect_same(const MomentSums& got, const MomentSums& want) {
  EXPECT_EQ(got.observations, want.observations);
  EXPECT_EQ(got.origin, want.origin);
  EXPECT_EQ(got.mean, want.mean);
  EXPECT_EQ(got.products, want.products);
  EXPECT_EQ(got.pending, want.pending);
}

/// The joined rows' mean and products by the definition.
void expect_two_passes(const MomentSums& got, const std::vector<float>& rows) {
  const size_t width = kWidth,
               joined = static_cast<size_t>(got.observations) / kMomentsBlock * kMomentsBlock;
  std::vector<long double> mean(width);
  for (size_t r = 0; r < joined; ++r) {
    for (size_t j = 0; j < width; ++j)
      mean[j] += static_cast<long double>(rows[r * width + j]) / static_cast<long double>(joined);
  }
  // 512 terms' rounding in float64, of numbers as large as the rows: 1e-13 of their size.
  for (size_t i = 0; i < width; ++i) {
    EXPECT_EQ(got.origin[i], static_cast<double>(rows[i]));
    EXPECT_NEAR(got.mean[i] + got.origin[i], static_cast<double>(mean[i]), 1e-12);
    for (size_t j = 0; j <= i; ++j) {
      long double sum = 0;
      for (size_t r = 0; r < joined; ++r)
        sum += (static_cast<long double>(rows[r * width + i]) - mean[i]) *
               (static_cast<long double>(rows[r * width + j]) - mean[j]);
      ASSERT_NEAR(got.products[i * width + j], static_cast<double>(sum),
                  1e-12 * std::sqrt(got.products[i * width + i] * got.products[j * width + j]))
          << i << ", " << j;
    }
  }
  for (size_t i = 0; i < got.pending.size(); ++i)
    EXPECT_EQ(got.pending[i],
              static_cast<double>(rows[joined * width + i]) - static_cast<double>(rows[i % width]));
}

TEST(RunningMoments, AreThoseOfTwoPasses) {
  const Model model = odd_model();
  for (const DType store : {DType::kF32, DType::kBF16}) {
    std::vector<float> rows;
    RunningMoments moments(model, {7, kWidth});  // the other part stays as it is
    for (const vitrine::Run& run : runs(model, Residence::kDevice, store)) {
      const TensorView view = run[kSite];
      moments.add(1, view, 0, 70);
      const std::vector<float> values = model.to_host(view).view().to_f32();
      rows.insert(rows.end(), values.begin(), values.end());
    }
    const MomentSums sums = moments.sums(1);
    EXPECT_EQ(sums.observations, 560);
    EXPECT_EQ(sums.pending.size(), size_t{48} * kWidth);
    expect_two_passes(sums, rows);
    expect_same(moments.sums(0), {0, {}, std::vector<double>(7), std::vector<double>(49), {}});
    EXPECT_EQ(moments.spoiled(), -1);
  }
}

TEST(RunningMoments, DependOnRowsAndTheirOrderAlone) {
  const Model model = odd_model();
  RunningMoments whole(model, {kWidth}), pieces(model, {kWidth}), brought(model, {kWidth});
  const auto there = runs(model, Residence::kDevice), here = runs(model, Residence::kHost);
  for (size_t i = 0; i < there.size(); ++i) {
    whole.add(0, there[i][kSite], 0, 70);
    brought.add(0, here[i][kSite], 0, 70);
    for (int64_t begin = 0, step = 1; begin < 70; begin += step, step = step % 9 + 1)
      pieces.add(0, there[i][kSite], begin, std::min<int64_t>(step, 70 - begin));
    if (i != 3 && i != 5) continue;
    RunningMoments gone_on(model, {kWidth});  // as from a file
    gone_on.set(0, pieces.sums(0));
    pieces = std::move(gone_on);
  }
  expect_same(pieces.sums(0), whole.sums(0));
  expect_same(brought.sums(0), whole.sums(0));
}

TEST(RunningMoments, SayWhichPartIsSpoiled) {
  const Model model = odd_model();
  RunningMoments moments(model, {2, 2, 2});
  std::vector<float> rows(20, 1.0f);
  moments.add(0, {rows.data(), DType::kF32, Shape{10, 2}}, 0, 10);
  rows[7] = std::numeric_limits<float>::infinity();
  const TensorView view(rows.data(), DType::kF32, Shape{10, 2});
  moments.add(1, view, 0, 3);
  moments.add(1, view, 4, 6);
  EXPECT_EQ(moments.spoiled(), -1);
  moments.add(1, view, 3, 1);
  EXPECT_EQ(moments.spoiled(), 1);
}

TEST(RunningMoments, Refuse) {
  const Model model = odd_model();
  const std::vector<float> rows(20);
  const TensorView view(rows.data(), DType::kF32, Shape{10, 2});
  RunningMoments moments(model, {2});
  EXPECT_USER_ERROR(RunningMoments(model, {}), "at least one");
  EXPECT_USER_ERROR(RunningMoments(model, {3, 0}), "width 0", "expected 1..4194304");
  EXPECT_USER_ERROR(moments.add(1, view, 0, 1), "part 1 is out of range: there are 1");
  EXPECT_USER_ERROR(moments.add(0, {rows.data(), DType::kF32, Shape{5, 4}}, 0, 1), "[5, 4]",
                    "expected 2");
  EXPECT_USER_ERROR(moments.add(0, view, 8, 3), "rows 8 to 11 are out of range: there are 10");
  EXPECT_USER_ERROR(moments.add(0, view, -1, 2), "rows -1 to 1");
  EXPECT_USER_ERROR(moments.add(0, {rows.data(), DType::kI32, Shape{10, 2}}, 0, 1),
                    "expected f32, f16 or bf16");
  MomentSums sums = moments.sums(0);
  sums.observations = 3;
  EXPECT_USER_ERROR(moments.set(0, sums), "sums of 3 observations do not match");
  EXPECT_EQ(moments.sums(0).observations, 0);
}

}  // namespace
}  // namespace vitrine
