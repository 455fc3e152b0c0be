// SPDX-License-Identifier: MIT
#include "report/figures/figure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "picture.h"
#include "support.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/lens.h"

// Figures as bytes, and PNG as the pixels that it decodes to.

namespace vitrine {
using namespace internal;
namespace {

using testing::demo_source;

using testing::decoded;
using testing::Picture;
using testing::stop_of;

HeatPanel two_by_two(HeatPanel::Kind kind, std::vector<double> values, double limit) {
  return {.title = "t",
          .row_name = "layer",
          .column_name = "head",
          .value_name = "v",
          .rows = {"a", "b"},
          .columns = {"c", "d"},
          .values = std::move(values),
          .kind = kind,
          .limit = limit};
}

TEST(Figure, CellsHaveTheColoursOfTheirValues) {
  const Picture picture = decoded(draw_figure(
      {two_by_two(HeatPanel::Kind::kDiverging, {-2, 2, 0, std::nan("")}, 2)}, FigureFormat::kPng));
  // A cell is 30 x 18 points less the gap, and a point is 2 pixels: about 2,000 pixels of a colour,
  // where the bar has a few.
  for (const auto& color : {stop_of("minus", true), stop_of("plus", true), stop_of("plus", false)})
    EXPECT_GT(picture.count(color), 1800u);
  EXPECT_LT(picture.count(stop_of("plus", true)), 2300u) << "the cell without a value is coloured";
}

TEST(Figure, RankOneIsTheFullEndAndTheLastTheEmptyOne) {
  const Picture picture = decoded(draw_figure(
      {two_by_two(HeatPanel::Kind::kRank, {1, 1, 50257, 1}, 50257)}, FigureFormat::kPng));
  EXPECT_GT(picture.count(stop_of("rank", true)), 3 * 1800u);
  EXPECT_GT(picture.count(stop_of("rank", false)), 1800u);
}

TEST(Figure, BarsGoToBothSidesByTheirSize) {
  const BarsPanel panel{
      .title = "t", .value_name = "v", .bars = {{"full", 4}, {"half", 2}, {"minus", -4}}};
  const Picture picture = decoded(draw_figure({panel}, FigureFormat::kPng));
  // Runs of one colour in a row: the longest is the full bar, 130 points of 2 pixels.
  const auto longest_run = [&](int y) {
    int longest = 0, run = 0;
    for (int x = 1; x < picture.width; ++x) {
      const auto& now = picture.pixels[static_cast<size_t>(y * picture.width + x)];
      run = now == picture.pixels[static_cast<size_t>(y * picture.width + x - 1)] &&
                    now != std::array{255, 255, 255}
                ? run + 1
                : 0;
      longest = std::max(longest, run);
    }
    return longest;
  };
  std::vector<int> runs;
  for (const double row : {0.5, 1.5, 2.5})
    runs.push_back(longest_run(static_cast<int>(2 * (14 + 20 + 14 * row) + 5)));
  EXPECT_NEAR(runs[0], 260, 4);
  EXPECT_NEAR(runs[1], 130, 4);
  EXPECT_NEAR(runs[2], 260, 4);
}

TEST(Figure, SameBytesTwice) {
  const Lens lens = testing::made_up_lens(4, 6, 3, 2, 17);
  for (const FigureFormat format : {FigureFormat::kSvg, FigureFormat::kPng}) {
    EXPECT_EQ(lens_figure({&lens, 1}, demo_source(), format),
              lens_figure({&lens, 1}, demo_source(), format));
  }
}

TEST(Figure, HostileTokensAreDrawnAsText) {
  const Lens lens = testing::made_up_lens(4, 17, 1, 0, 17);
  const std::string svg = lens_figure({&lens, 1}, demo_source(), FigureFormat::kSvg);
  EXPECT_EQ(svg.substr(0, 5), "<?xml");
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_NE(svg.find("</svg>"), std::string::npos);
}

TEST(Figure, ALensOfOnePositionIsLinesAndOfSeveralAMap) {
  const Lens one = testing::made_up_lens(4, 1, 3, 2, 17),
             several = testing::made_up_lens(4, 2, 3, 0, 17),
             watched = testing::made_up_lens(4, 2, 3, 2, 17);
  const auto size = [](const Lens& lens) {
    return decoded(lens_figure({&lens, 1}, demo_source(), FigureFormat::kPng)).width;
  };
  EXPECT_GT(size(one), 2 * 560);
  EXPECT_LT(size(several), 2 * 560);
  EXPECT_GT(size(watched), 2 * 560) << "lines of the last position below the map";
}

TEST(Figure, TheLastLayerIsOnTop) {
  Lens lens = testing::made_up_lens(2, 2, 0, 0, 17);
  lens.target_ranks = {17, 17, 1, 1};  // layer 1 is right, layer 0 is not
  const Picture picture = decoded(lens_figure({&lens, 1}, demo_source(), FigureFormat::kPng));
  const auto row_of = [&](std::array<int, 3> color) {
    return std::find(picture.pixels.begin(), picture.pixels.end(), color) - picture.pixels.begin();
  };
  EXPECT_LT(row_of(stop_of("rank", true)), row_of(stop_of("rank", false)));
}

TEST(Figure, WhatNobodyCouldPrintIsRefused) {
  EXPECT_TRUE(testing::says(testing::error_of([] { draw_figure({}, FigureFormat::kSvg); }),
                            "expected at least one"));
  const Lens lens = testing::made_up_lens(2, 5000, 0, 0, 17);
  EXPECT_TRUE(testing::says(testing::error_of([&] {
                              lens_figure({&lens, 1}, demo_source(), FigureFormat::kSvg);
                            }),
                            "too large", "use fewer"));
}

}  // namespace
}  // namespace vitrine
