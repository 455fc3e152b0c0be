// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "picture.h"
#include "report/figures/figure.h"
#include "results.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/score.h"

// Figures of concept directions, factors and scores, and the panels that they brought.

namespace vitrine {
using namespace internal;
namespace {

using testing::decoded;
using testing::demo_source;
using testing::kCell;
using testing::Picture;
using testing::stop_of;

/// Of a dot's 85 pixels, those that it covers wholly: more or fewer by where it lies between
/// pixels, which the width of a row's name decides.
constexpr double kLeast = 40, kMost = 80;

/// The colours of the dots of the first and the second row: three quarters of the line's colour on
/// white, give or take the rounding.
constexpr std::array<int, 3> kFirst = {87, 147, 200}, kSecond = {209, 137, 72};

bool is_like(const std::array<int, 3>& pixel, const std::array<int, 3>& color) {
  for (size_t c = 0; c < 3; ++c) {
    if (std::abs(pixel[c] - color[c]) > 2) return false;
  }
  return true;
}

/// How many pixels have about a colour, and the mean of their x.
std::pair<double, double> dots_of(const Picture& picture, const std::array<int, 3>& color) {
  double count = 0, sum = 0;
  for (size_t i = 0; i < picture.pixels.size(); ++i) {
    if (!is_like(picture.pixels[i], color)) continue;
    ++count;
    sum += static_cast<double>(i % static_cast<size_t>(picture.width));
  }
  return {count, sum / count};
}

// An axis from -1 - 5 % to 3 + 5 % over 420 points: 4 of 4.4 are 382 points, of 2 pixels each.
TEST(TextFigure, DotsStandWhereTheirValuesAre) {
  const Picture picture = decoded(draw_figure(
      {DotsPanel{
          .title = "t", .value_name = "v", .zero_name = "0", .rows = {{"a", {-1}}, {"b", {3}}}}},
      FigureFormat::kPng));
  const auto [first, first_x] = dots_of(picture, kFirst);
  const auto [second, second_x] = dots_of(picture, kSecond);
  EXPECT_NEAR(second_x - first_x, 2 * 420 * 4 / 4.4, 3);
  EXPECT_GT(std::min(first, second), kLeast);
  EXPECT_LT(std::max(first, second), kMost);
}

TEST(TextFigure, ConceptDrawsTheBestSitesScoresAndTheLinesOfSeveral) {
  std::vector<ConceptDirection> found = testing::made_up_directions();
  found[0].cohens_d = std::numeric_limits<double>::infinity();  // a gap, not a line to nowhere
  const Picture all = decoded(concept_figure(found, FigureFormat::kPng));
  EXPECT_GT(dots_of(all, kFirst).first, 3 * kLeast);
  EXPECT_LT(dots_of(all, kFirst).first, 3 * kMost);
  EXPECT_GT(dots_of(all, kSecond).first, 2 * kLeast);
  EXPECT_LT(dots_of(all, kSecond).first, 2 * kMost);
  EXPECT_TRUE(all.has({0x1f, 0x6f, 0xb5}));
  const Picture one = decoded(concept_figure({&found[1], 1}, FigureFormat::kPng));
  EXPECT_LT(3 * one.height, all.height);
  const Picture none = decoded(concept_figure({&found[2], 1}, FigureFormat::kPng));
  EXPECT_EQ(dots_of(none, kFirst).first + dots_of(none, kSecond).first, 0)
      << "a score that is none has no dot";
  EXPECT_TRUE(testing::says(testing::error_of([] { concept_figure({}, FigureFormat::kPng); }),
                            "expected at least one"));
  const std::vector<ConceptDirection> one_depth = {found[1],
                                                   {.site = "blocks.0.hook_mlp_out",
                                                    .direction = {1},
                                                    .norm = 1,
                                                    .activation_norm = 1,
                                                    .positive_scores = {1},
                                                    .negative_scores = {1},
                                                    .auc = 0.5}};
  EXPECT_GT(decoded(concept_figure(one_depth, FigureFormat::kPng)).height, one.height)
      << "a bar for each site";
}

/// The longest run of one colour that is not white, down a line of pixels.
int longest_run(const Picture& picture, int x, int from, int to) {
  int longest = 0, run = 1;
  for (int y = from + 1; y < std::min(to, picture.height); ++y) {
    const auto& now = picture.pixels[static_cast<size_t>(y * picture.width + x)];
    run = now == picture.pixels[static_cast<size_t>((y - 1) * picture.width + x)] &&
                  now != std::array{255, 255, 255}
              ? run + 1
              : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

TEST(TextFigure, ColumnsAreAsHighAsTheirValues) {
  const Picture picture = decoded(draw_figure({ColumnsPanel{.title = "t",
                                                            .value_name = "v",
                                                            .names = {"a", "b", "c", "d"},
                                                            .values = {4, 2, std::nan(""), 0}}},
                                              FigureFormat::kPng));
  // The first column begins 14 + 46 points from the left and is 13 wide; the axis is 84 points
  // high, below 14 + 20 points of margin and title.
  const auto height = [&](int column) {
    return longest_run(picture, 2 * (14 + 46 + 13 * column) + 8, 2 * (14 + 20),
                       2 * (14 + 20 + 6 + 84) - 2);
  };
  EXPECT_NEAR(height(0), 168, 4);
  EXPECT_NEAR(height(1), 84, 4);
  EXPECT_LT(height(2), 4);
  EXPECT_LT(height(3), 4);
}

TEST(TextFigure, ColumnsGoOnInTheNextRow) {
  const auto figure = [](size_t count) {
    return decoded(draw_figure({ColumnsPanel{.title = "t",
                                             .value_name = "v",
                                             .names = std::vector<std::string>(count, "a"),
                                             .values = std::vector<double>(count, 1.0)}},
                               FigureFormat::kPng));
  };
  const Picture full = figure(40), more = figure(41), most = figure(81);
  EXPECT_EQ(more.width, full.width);
  EXPECT_GT(more.height, full.height + 160);
  EXPECT_EQ(most.height - more.height, more.height - full.height);
}

TEST(TextFigure, FactorsAreOnOneScaleWithTheirLayers) {
  // The strongest token of component 0, and the one layer of component 1.
  const Factors found = testing::made_up_factors();
  const size_t full = decoded(factors_figure(found, demo_source(), FigureFormat::kPng))
                          .count(stop_of("amount", true));
  EXPECT_GT(full, 2 * kCell);
  EXPECT_LT(full, 3 * kCell);
  Factors broken = found;
  broken.neurons.pop_back();
  EXPECT_TRUE(testing::says(
      testing::error_of([&] { factors_figure(broken, demo_source(), FigureFormat::kSvg); }),
      "inconsistent sizes"));
}

TEST(TextFigure, ALineIsBeforeWhatWasGenerated) {
  Factors found = testing::made_up_factors();
  const std::string alone = factors_figure(found, demo_source(), FigureFormat::kPng);
  found.prompt_tokens = {4, 2};  // nothing was
  EXPECT_EQ(factors_figure(found, demo_source(), FigureFormat::kPng), alone);
  found.prompt_tokens = {3, 2};
  const Picture line = decoded(factors_figure(found, demo_source(), FigureFormat::kPng)),
                none = decoded(alone);
  ASSERT_EQ(line.pixels.size(), none.pixels.size());
  std::map<size_t, int> columns;  // of pixels that differ
  for (size_t i = 0; i < none.pixels.size(); ++i) {
    if (line.pixels[i] != none.pixels[i]) ++columns[i % static_cast<size_t>(none.width)];
  }
  ASSERT_FALSE(columns.empty());
  EXPECT_LE(columns.rbegin()->first - columns.begin()->first, 3u) << "one upright line";
  EXPECT_GT(columns.rbegin()->second, 2 * 18) << "taller than a row";
}

TEST(TextFigure, ALongTextOfFactorsComesInPictures) {
  const auto figure = [](size_t tokens, size_t texts) {
    Factors found = testing::made_up_factors();
    found.texts.assign(texts, std::vector<int32_t>(tokens, 4));
    found.tokens = static_cast<int64_t>(tokens * texts);
    found.strengths.assign(2 * tokens * texts, 1);
    return decoded(factors_figure(found, demo_source(), FigureFormat::kPng));
  };
  EXPECT_GT(figure(51, 1).height, figure(50, 1).height);
  EXPECT_EQ(figure(100, 1).height, figure(50, 2).height) << "two pictures of 50 tokens";
  EXPECT_EQ(figure(51, 1).width, figure(26, 1).width)
      << "the pictures of a text are about as wide as each other";
}

TEST(TextFigure, ScoresAreBitsOfTokensOrWords) {
  WordScores scores = testing::made_up_words();  // the first word has no surprisal
  const std::string tokens = score_figure({&scores.tokens, 1}, demo_source(), FigureFormat::kSvg),
                    words = word_score_figure({&scores, 1}, demo_source(), FigureFormat::kSvg);
  EXPECT_EQ(tokens, score_figure({&scores.tokens, 1}, demo_source(), FigureFormat::kSvg));
  EXPECT_NE(tokens, words);
  EXPECT_EQ(words.find("<first>"), std::string::npos);
  // Above the first word, which has no bar, there are the lines of the axis: at 2, 4 and 6 bits,
  // where nats would have 1 to 4.
  scores.words[1].surprisal = 6 * std::log(2.0);
  const Picture axis = decoded(word_score_figure({&scores, 1}, demo_source(), FigureFormat::kPng));
  int lines = 0;
  for (int y = 2 * (14 + 20); y < 2 * (14 + 20 + 6 + 84) - 4; ++y) {
    const auto white = [&](int at) {
      return axis.pixels[static_cast<size_t>(at * axis.width + 2 * (14 + 46) + 13)] ==
             std::array{255, 255, 255};
    };
    lines += white(y - 1) && !white(y) ? 1 : 0;
  }
  EXPECT_EQ(lines, 3);
  // Two words of 3 and 6 bits: the second is twice as high.
  scores.words[0].surprisal = 3 * std::log(2.0);
  const Picture picture =
      decoded(word_score_figure({&scores, 1}, demo_source(), FigureFormat::kPng));
  EXPECT_NEAR(longest_run(picture, 2 * (14 + 46) + 8, 2 * (14 + 20), 2 * (14 + 20 + 6 + 84) - 2),
              84, 4);
  EXPECT_NEAR(
      longest_run(picture, 2 * (14 + 46 + 13) + 8, 2 * (14 + 20), 2 * (14 + 20 + 6 + 84) - 2), 168,
      4);
  scores.tokens.tokens.resize(4001);
  scores.words.resize(4001);
  EXPECT_TRUE(testing::says(testing::error_of([&] {
                              score_figure({&scores.tokens, 1}, demo_source(), FigureFormat::kSvg);
                            }),
                            "4000 bars, not 4001"));
  EXPECT_TRUE(testing::says(testing::error_of([&] {
                              word_score_figure({&scores, 1}, demo_source(), FigureFormat::kSvg);
                            }),
                            "4000 bars, not 4001"));
  EXPECT_TRUE(
      testing::says(testing::error_of([] { score_figure({}, demo_source(), FigureFormat::kSvg); }),
                    "expected at least one"));
}

}  // namespace
}  // namespace vitrine
