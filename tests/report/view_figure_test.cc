// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>

#include "picture.h"
#include "results.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/report/figure.h"

// Figures of the analyses whose pages stand in results_test.cc: how much of a picture has which
// colour.

namespace vitrine {
using namespace internal;
namespace {

using testing::decoded;
using testing::demo_source;
using testing::kCell;
using testing::Picture;
using testing::stop_of;

/// The first line's colour, the second's.
constexpr std::array<int, 3> kFirstSeries = {0x1f, 0x6f, 0xb5}, kSecondSeries = {0xc2, 0x62, 0x0b},
                             kThird = {0x7a, 0x3f, 0xa6}, kFourth = {0x12, 0x80, 0x6a};

TEST(ViewFigure, OnlyWhatAQueryCanSeeIsDrawn) {
  AttentionRelevance found{.ids = {10, 14, 0},
                           .layers = {1},
                           .queries = {0, 1, 2},
                           .values = std::vector<double>(9, 1.0)};
  const AttentionViews views{.rollout = &found};
  const Picture picture = decoded(attention_figure({&views, 1}, demo_source(), FigureFormat::kPng));
  const size_t full = picture.count(stop_of("amount", true));
  EXPECT_GT(full, 6 * kCell);
  EXPECT_LT(full, 7 * kCell);
}

TEST(ViewFigure, EachHeadHasItsMapAndTooManyAreRefused) {
  const AttentionMaps maps = testing::made_up_maps();
  const AttentionViews four{.maps = &maps};
  const AttentionRelevance rollout = testing::made_up_rollout({0}, {5});
  const AttentionViews one{.rollout = &rollout};
  EXPECT_GT(decoded(attention_figure({&four, 1}, demo_source(), FigureFormat::kPng)).height,
            3 * decoded(attention_figure({&one, 1}, demo_source(), FigureFormat::kPng)).height);
  const std::vector<AttentionViews> many(13, four);
  EXPECT_TRUE(testing::says(
      testing::error_of([&] { attention_figure(many, demo_source(), FigureFormat::kPng); }),
      "48 pictures", "fewer layers"));
}

TEST(ViewFigure, WindowsHaveTheirTokensHoweverManyThereAre) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < 120; ++i) ids.push_back(testing::six_ids()[i % 6]);
  const WindowedText many{ids, 40, 2}, one{ids, 2, 120};
  const std::string svg = windows_figure({&many, 1}, demo_source(), FigureFormat::kSvg);
  EXPECT_GT(testing::characters(svg), 2 * 16 * 32u)
      << "at least one of each token of 16 windows, 32 places";
  const Picture picture = decoded(windows_figure({&one, 1}, demo_source(), FigureFormat::kPng));
  const auto orange = [](const auto& pixel) { return pixel[0] > pixel[2] + 60; };
  const auto blue = [](const auto& pixel) { return pixel[2] > pixel[0] + 40; };
  EXPECT_GT(std::ranges::count_if(picture.pixels, orange), kCell);
  EXPECT_GT(std::ranges::count_if(picture.pixels, blue), kCell);
  EXPECT_LT(std::ranges::find_if(picture.pixels, orange),
            std::ranges::find_if(picture.pixels, blue))
      << "what goes in is above what comes out";
}

TEST(ViewFigure, HabitsAreLayersByHeadsWithTheLastLayerOnTop) {
  HeadStatistics found = testing::made_up_statistics();
  found.first_token = {0, 0, 1, 1};  // layer 1 alone
  const AttentionViews views{.statistics = &found};
  const Picture picture = decoded(attention_figure({&views, 1}, demo_source(), FigureFormat::kPng));
  const auto first = [&](std::array<int, 3> color) {
    return std::find(picture.pixels.begin(), picture.pixels.end(), color) - picture.pixels.begin();
  };
  EXPECT_LT(first(stop_of("amount", true)), first(stop_of("amount", false)));
}

TEST(ViewFigure, CovariancesHaveTheirSigns) {
  const Covariance found{.variables = 2,
                         .observations = 3,
                         .ddof = 1,
                         .weight = 3,
                         .divisor = 2,
                         .mean = {0, 0},
                         .values = {4, -4, -4, 4}};
  CovarianceView view{.covariance = &found, .title = "a", .names = {"x", "</script>"}};
  const Picture picture = decoded(covariance_figure({&view, 1}, FigureFormat::kPng));
  EXPECT_GT(picture.count(stop_of("plus", true)), 2 * kCell);
  EXPECT_GT(picture.count(stop_of("minus", true)), 2 * kCell);
}

// Of variances 4 and 1 the covariance 1 is a quarter of the largest number, but the correlation a
// half.
TEST(ViewFigure, CorrelationsHaveAScaleOfTheirOwn) {
  const Covariance found{.variables = 2,
                         .observations = 3,
                         .ddof = 1,
                         .weight = 3,
                         .divisor = 2,
                         .mean = {0, 0},
                         .values = {4, 1, 1, 1}};
  CovarianceView view{.covariance = &found, .title = "a"};
  EXPECT_LT(decoded(covariance_figure({&view, 1}, FigureFormat::kPng)).count(stop_of("plus", true)),
            2 * kCell);
  view.correlations = true;
  EXPECT_GT(decoded(covariance_figure({&view, 1}, FigureFormat::kPng)).count(stop_of("plus", true)),
            2 * kCell);
}

TEST(ViewFigure, SitesThatCannotBeComparedAreEmpty) {
  const Picture picture = decoded(similarity_figure(testing::made_up_similarity(),
                                                    FigureFormat::kPng));  // 1, 0.25, 0.375, none
  EXPECT_GT(picture.count(stop_of("amount", true)), kCell);
  EXPECT_LT(picture.count(stop_of("amount", true)), 2 * kCell);
}

TEST(ViewFigure, PredictivityHasALineForWhateverWasComputed) {
  Predictivity found = testing::made_up_predictivity();
  EXPECT_TRUE(decoded(predictivity_figure(found, FigureFormat::kPng))
                  .has(kFourth));  // trained, untrained, no model, ceiling
  found.ceiled = false;
  Picture picture = decoded(predictivity_figure(found, FigureFormat::kPng));
  EXPECT_TRUE(picture.has(kThird));
  EXPECT_FALSE(picture.has(kFourth));
  found.controls.clear();
  picture = decoded(predictivity_figure(found, FigureFormat::kPng));
  EXPECT_TRUE(picture.has(kFirstSeries) && picture.has(kSecondSeries));
  EXPECT_FALSE(picture.has(kThird));
}

TEST(ViewFigure, PredictivityMarksWhatCannotBeToldFromTheBest) {
  Predictivity found = testing::made_up_predictivity();
  const auto drawn = [&] {
    return testing::characters(predictivity_figure(found, FigureFormat::kSvg));
  };
  const size_t marked = drawn();
  found.sites[2].below_best_interval = {0.125, 0.5};  // lower
  EXPECT_GT(marked, drawn() + 30) << "the sign, and what it means below the axis";
}

TEST(ViewFigure, RanksOfSeveralTextsHaveOneScale) {
  Lens low = testing::made_up_lens(4, 1, 3, 1, 1000), high = low;
  low.watch_ranks = {2, 2, 2, 2};
  low.target_ranks = {3, 3, 3, 3};
  high.watch_ranks = high.target_ranks = {1000, 1000, 1000, 1000};
  const auto first_line = [](std::span<const Lens> texts) {
    const Picture picture = decoded(lens_figure(texts, demo_source(), FigureFormat::kPng));
    int row = 0;
    const auto pixel = [&] { return picture.pixels[row * picture.width + picture.width / 4]; };
    while (row + 1 < picture.height && pixel() != kFirstSeries) ++row;
    return row;
  };
  const std::vector<Lens> both = {low, high};
  EXPECT_LT(first_line(both) + 100, first_line({&low, 1}))
      << "rank 2 is near the top of 1000 and in the middle of 3";
}

TEST(ViewFigure, EachKindOfNoiseHasALineAndABar) {
  const Noise found = testing::made_up_noise();
  const Picture picture = decoded(noise_figure({&found, 1}, demo_source(), FigureFormat::kPng));
  EXPECT_TRUE(picture.has(kFirstSeries) && picture.has(kSecondSeries));
  EXPECT_FALSE(picture.has(kThird));
}

}  // namespace
}  // namespace vitrine
