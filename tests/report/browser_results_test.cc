// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include "page_fixture.h"
#include "results.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/analysis/score.h"
#include "vitrine/analysis/similarity.h"

// The pages of attention, covariance, predictivity, factors, similarity, noise, scores and rankings
// in a real browser: their numbers, and what pointer and keys change.

namespace vitrine {
using namespace internal;
namespace {

using testing::demo_source;
using testing::says;
using testing::Tab;

class ResultPage : public testing::PageTest {};

constexpr double kFloat = 1e-6;  // numbers of a page are float32

TEST_F(ResultPage, CovarianceSaysWhyACellHasItsSign) {
  const testing::MadeUpCovariance made(40);
  const CovarianceView view = made.view();
  Tab& tab = show(covariance_page({&view, 1}, demo_source()));
  // The sums that make the covariance of `down` and `up`, by a loop of their own.
  double plus = 0, minus = 0;
  int together = 0;
  for (size_t o = 0; o < 40; ++o) {
    const double product = (made.series[o] - made.covariance.mean[0]) *
                           (made.series[40 + o] - made.covariance.mean[1]);
    (product > 0 ? plus : minus) += product;
    together += product > 0 ? 1 : 0;
  }
  auto [x, y] = cell(1, 0);
  tab.move(x, y);
  EXPECT_TRUE(says(tab.text(".words"), "opposite ways",
                   "the covariance is " + written(made.covariance.at(1, 0), "V.signed"), "below 0",
                   "The second outweigh",
                   together == 1 ? "once" : std::to_string(together) + " times",
                   written(minus, "V.signed")));
  EXPECT_NEAR((plus + minus) / 39, made.covariance.at(1, 0), 1e-12);  // what the words say adds up
  const Json pairs = numbers("0"), course = numbers("3");
  ASSERT_EQ(pairs.size(), 6u);
  EXPECT_NEAR(pairs[1]["covariance"].get<double>(), made.covariance.at(1, 0), kFloat);
  EXPECT_NEAR(
      pairs[1]["correlation"].get<double>(),
      made.covariance.at(1, 0) / std::sqrt(made.covariance.at(0, 0) * made.covariance.at(1, 1)),
      kFloat);
  EXPECT_TRUE(pairs[5]["correlation"].is_null());  // `flat` has none
  ASSERT_EQ(course.size(), 40u);
  EXPECT_NEAR(
      course[7]["product of deviations"].get<double>(),
      (made.series[7] - made.covariance.mean[0]) * (made.series[47] - made.covariance.mean[1]),
      kFloat);
  // The diagonal is a variance, whose products are squares.
  std::tie(x, y) = cell(0, 0);
  tab.move(x, y);
  EXPECT_TRUE(says(tab.text(".words"), "variance of up", written(made.covariance.at(0, 0)),
                   "none is below 0"));
  EXPECT_EQ(tab.eval("document.querySelector('.points.minus').getAttribute('d')"), "");
  std::tie(x, y) = cell(2, 1);
  tab.move(x, y);
  EXPECT_TRUE(says(tab.text(".words"), "flat never changes"));
  // Keys move from observation to observation, in both figures.
  std::tie(x, y) = cell(1, 0);
  tab.click(x, y);
  focus(".course .plot");
  tab.press("Home");
  tab.press("ArrowRight");
  EXPECT_TRUE(
      says(tab.text(".course .reading[aria-live]"), "observation 1", written(made.series[1])));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.ring').length"), 1);
  expect_sound("covariance");
}

TEST_F(ResultPage, CovarianceOfMomentsHasNoSeries) {
  const testing::MadeUpCovariance made(40);
  const CovarianceView view{.covariance = &made.covariance};
  Tab& tab = show(covariance_page({&view, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.card').length"), 2);
  EXPECT_TRUE(says(tab.text(".words"), "opposite ways"));
  expect_sound("covariance-moments");
}

TEST_F(ResultPage, CovarianceOfManyVariablesBeginsWithCorrelationsAtTheStrongestPair) {
  constexpr size_t kVariables = 20;
  Covariance found{.variables = kVariables,
                   .observations = 50,
                   .weight = 50,
                   .divisor = 49,
                   .mean = std::vector<double>(kVariables),
                   .values = std::vector<double>(kVariables * kVariables)};
  for (size_t i = 0; i < kVariables; ++i) found.values[i * (kVariables + 1)] = 4;
  found.values[3 * kVariables + 7] = found.values[7 * kVariables + 3] = 3;
  const CovarianceView view{.covariance = &found};
  Tab& tab = show(covariance_page({&view, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelector('input[value=cor]').checked"), true);
  EXPECT_TRUE(says(spoken(), "7 with 3", "correlation 0.7500"));
  EXPECT_TRUE(says(tab.text("main"), "The strongest pair of variables is 3 and 7"));
  tab.click_on("input[value=cov] + label");
  EXPECT_TRUE(says(tab.text("main"), "+4.000"));
  expect_sound("covariance-many");
}

TEST_F(ResultPage, AttentionDrawsWhatIsFinite) {
  const Model model =
      Model::random({.layers = 2, .heads = 2, .width = 8, .inner = 16, .vocab = 17, .context = 16},
                    4, {.threads = 1});
  const Hooks edits = Hooks().edit("blocks.1.attn.hook_pattern", callback([](EditView& view) {
                                     view.values[0] = std::numeric_limits<float>::quiet_NaN();
                                   }),
                                   {.positions = {3}, .heads = {1}});
  const AttentionMaps maps = attention(model, testing::six_ids(), {.edits = edits});
  const AttentionViews views{.maps = &maps};
  Tab& tab = show(attention_page({&views, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.thumbs canvas').length"), 4);
  tab.click_on(".thumbs button:nth-child(4)");  // head 1.1, with the NaN
  EXPECT_TRUE(says(tab.text("main"), "Head 1.1"));
  const Json rows = numbers("1");
  size_t lost = 0;
  for (const Json& row : rows) lost += row["attention"].is_null();
  EXPECT_EQ(lost, 1u);
  expect_sound("attention-nan");
}

TEST_F(ResultPage, AttentionEnlargesAHeadAndFollowsAQuery) {
  const AttentionMaps maps = testing::made_up_maps();
  const AttentionViews views{.maps = &maps};
  Tab& tab = show(attention_page({&views, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.thumbs button').length"), 4);
  tab.eval("document.querySelectorAll('.thumbs button')[2].focus()");
  tab.eval(
      "document.querySelectorAll('.thumbs button')[2].click()");  // what Enter on a button does
  tab.settle();
  EXPECT_TRUE(says(tab.text(".map h3"), "Head 1.0"));
  const Json rows = numbers("1");
  ASSERT_EQ(rows.size(), 21u);
  for (size_t query = 0, at = 0; query < 6; ++query) {
    for (size_t key = 0; key <= query; ++key, ++at)
      EXPECT_NEAR(rows[at]["attention"].get<double>(),
                  static_cast<double>(maps.row(1, 0, query)[key]), 1e-7);
  }
  // The text follows the query, as does the list beside the map.
  tab.move_to(".tokens .word[data-at='3']");
  EXPECT_TRUE(says(label(1), written(static_cast<double>(maps.row(1, 0, 3)[1]), "V.percent")));
  EXPECT_TRUE(says(label(4), "comes later"));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.tokens .word small')[4].textContent.trim()"), "");
  tab.move(3, 3);
  focus(".tokens");
  tab.press("Home");
  tab.press("ArrowRight");
  EXPECT_TRUE(says(label(0), written(static_cast<double>(maps.row(1, 0, 1)[0]), "V.percent")));
  tab.click_on("input[value=mean] + label");
  EXPECT_NEAR(
      numbers("1")[1]["attention"].get<double>(),
      (static_cast<double>(maps.row(1, 0, 1)[0]) + static_cast<double>(maps.row(1, 1, 1)[0])) / 2,
      1e-7);
  expect_sound("attention");
}

TEST_F(ResultPage, RolloutAndFlowAreChosenFromAList) {
  const AttentionRelevance rollout = testing::made_up_rollout({0, 1}, {2, 5}),
                           flow = testing::made_up_rollout({1}, {5});
  const AttentionViews views{.rollout = &rollout, .flow = &flow};
  Tab& tab = show(attention_page({&views, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.thumbs button').length"), 2);
  tab.click_on(".thumbs button:nth-child(2)");
  EXPECT_NEAR(numbers("1")[0]["rollout"].get<double>(), rollout.row(1, 0)[0], 1e-7);
  EXPECT_EQ(numbers("1").size(), 9u);  // of queries 2 and 5
  EXPECT_TRUE(says(tab.text(".map .note"), "the first tokens collect more"));
  tab.eval(
      "(() => { const s = document.querySelector('main > .select select'); s.selectedIndex = 1; "
      "s.dispatchEvent(new Event('change')); })()");
  tab.settle();
  EXPECT_EQ(tab.text("h1"), "Attention flow") << "the heading follows the choice";
  EXPECT_TRUE(says(tab.text("header .help"), "How much could pass"));
  EXPECT_NEAR(numbers("0")[5]["flow"].get<double>(), flow.row(0, 0)[5], 1e-7);
  EXPECT_TRUE(says(tab.text(".map .note"), "not what did"));
  expect_sound("attention-rollout");
}

TEST_F(ResultPage, AFlowDrawsTheNetworkOfAPosition) {
  const AttentionRelevance flow = testing::made_up_flow();
  const AttentionViews views{.flow = &flow};
  Tab& tab = show(attention_page({&views, 1}, demo_source()));
  const auto count = [&](const std::string& what) {
    return tab.eval("document.querySelectorAll('.network " + what + "').length");
  };
  // From the last position: itself through block 1, then both edges of block 0. The edge of 0.5 %
  // through block 1 is not there, so that position 0 is reached through block 0 alone.
  EXPECT_EQ(count(".edge"), 3);
  EXPECT_EQ(count(".node"), 4);
  EXPECT_EQ(numbers("2").size(), 5u);
  const double thick = tab.eval(
                   "Number(document.querySelector('.network .edge')"
                   ".getAttribute('stroke-width'))"),
               thin = tab.eval(
                   "Number(document.querySelectorAll('.network .edge')[1]"
                   ".getAttribute('stroke-width'))");
  EXPECT_GT(thick, thin);
  tab.move_to(".tokens .word[data-at='0']");
  EXPECT_EQ(count(".edge"), 2);
  EXPECT_TRUE(says(tab.text("main"), "position 0, after layer 1"));
  expect_sound("attention-flow");
}

TEST_F(ResultPage, WindowsShowTheirPlaceInTheText) {
  const WindowedText text{testing::six_ids(), 2, 2};
  Tab& tab = show(windows_page({&text, 1}, demo_source()));
  EXPECT_TRUE(says(tab.text("main"), "2 windows of 2 tokens, stride 2, of a text of 6 tokens",
                   "1 at the end is in none"));
  EXPECT_TRUE(says(label(0), "input only"));
  EXPECT_TRUE(says(label(2), "target only"));
  focus(".grid");
  tab.press("ArrowDown");
  EXPECT_TRUE(says(spoken(), "window at 2, place 0"));
  EXPECT_TRUE(says(label(0), "not in this window"));
  EXPECT_TRUE(says(label(3), "input, and target of the one before"));
  EXPECT_TRUE(says(label(5), "in no window"));
  EXPECT_TRUE(says(tab.text("main"), "Window 2 of 2: inputs 2 to 3, targets 3 to 4"));
  EXPECT_EQ(numbers("2").size(), 4u);
  expect_sound("windows");
}

TEST_F(ResultPage, TheFirstWordHasNoSurprisal) {
  Score score = testing::made_up_words().tokens;
  score.first = testing::six_ids()[0];
  Tab& tab = show(score_page({&score, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.tokens .word').length"), 6);
  EXPECT_TRUE(says(label(0), "position 0: without context"));
  EXPECT_TRUE(says(tab.text(".facts"), written(9 / std::log(2.0), "(bits => V.number(bits, 3))")))
      << "the most surprising is chosen, not the one without a number";
  tab.move_to(".tokens .word[data-at='0']");
  EXPECT_TRUE(says(tab.text(".facts"), "none: the first token is without context"));
  double total = 0;
  for (const TokenScore& token : score.tokens) total += token.loss;
  EXPECT_TRUE(says(tab.text("main"), "6, 5 scored",
                   written(total / 5 / std::log(2.0), "(bits => V.number(bits, 3))")));
  EXPECT_TRUE(numbers("0")[0]["surprisal (nats)"].is_null());
  EXPECT_TRUE(numbers("0")[0]["rank"].is_null());
  EXPECT_TRUE(numbers("0")[0]["top_token"].is_null());
  expect_sound("score-first");
}

TEST_F(ResultPage, HeadsAloneHaveNoText) {
  const HeadStatistics statistics = testing::made_up_statistics();
  const AttentionViews views{.statistics = &statistics};
  Tab& tab = show(attention_page({&views, 1}, demo_source()));
  focus(".grid");
  tab.press("End");
  EXPECT_TRUE(says(spoken(), "head 1.1", "first token 10.0 %", "distance 4.000 tokens"));
  EXPECT_NEAR(numbers("0")[2]["first token"].get<double>(), 0.8125, kFloat);
  expect_sound("attention-heads");
}

TEST_F(ResultPage, PredictivityReadsItsCurve) {
  const Predictivity found = testing::made_up_predictivity();
  Tab& tab = show(predictivity_page(found, demo_source()));
  EXPECT_TRUE(says(tab.text(".layer"), "Layer 0", "blocks.0.hook_resid_post", "0.750",
                   "0.625 to 0.813", "Untrained0.125", "S<2>"));  // the best
  focus(".curve .plot");
  tab.press("End");
  EXPECT_TRUE(says(tab.text(".curve .reading"), "layer 1", "trained 0.500", "0.375 to 0.563",
                   "untrained 0.125", "without a model 0.0625", "ceiling 1"));
  EXPECT_TRUE(says(tab.text(".layer"), "blocks.1.hook_resid_post", "Against the best",
                   "not distinguishable: 0.250 below (95 %: −0.125 to 0.500)"));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.curve .band').length"), 2);
  EXPECT_TRUE(says(tab.text(".curve .note"), "best: blocks.0.hook_resid_post",
                   "Not distinguishable from it are 1 of 2 other sites"));
  tab.press("Home");
  EXPECT_TRUE(says(tab.text(".curve .reading"), "layer embed", "trained 0.250"));
  EXPECT_TRUE(says(tab.text(".layer"), "lower: 0.500 below"));
  const Json rows = numbers("0"), neuroids = numbers("2");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_NEAR(rows[2]["control_advantage_interval_low"].get<double>(), 0.0625, kFloat);
  EXPECT_EQ(rows[2]["verdict"], "not distinguishable");
  EXPECT_EQ(rows[3]["site"], "baseline");
  EXPECT_NEAR(rows[3]["interval_high"].get<double>(), 0.125, kFloat);
  EXPECT_NEAR(neuroids[1]["r"].get<double>(), 0.0625, kFloat);
  EXPECT_TRUE(neuroids[3]["r"].is_null());
  expect_sound("predictivity");
}

TEST_F(ResultPage, FactorsColourTheTextByAComponent) {
  Factors found = testing::made_up_factors();
  found.prompt_tokens = {3, 2};
  Tab& tab = show(factors_page(found, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.component').length"), 2);
  const auto colour = [&](int word) {
    return tab
        .eval("document.querySelectorAll('.tokens .word')[" + std::to_string(word) +
              "].style.background")
        .get<std::string>();
  };
  const std::string full = tab.eval("V.color.css(V.color.amount(1)).replaceAll(',', ', ')");
  EXPECT_EQ(colour(2), full);  // component 0 is strongest there
  EXPECT_TRUE(says(tab.text(".components"), "Component 0", "Component 1"));
  tab.move_to(".component[data-component='1']");
  EXPECT_EQ(colour(3), full);
  EXPECT_NE(colour(2), full);
  tab.move(3, 3);
  EXPECT_EQ(colour(2), full);
  focus(".component");
  tab.press("ArrowDown");
  EXPECT_EQ(colour(3), full);
  focus(".tokens");
  tab.press("End");
  const Json token = numbers("5"), neurons = numbers("3");
  EXPECT_EQ(token[1]["strength"], 0.125);
  EXPECT_EQ(neurons[0]["layer"], 3);
  EXPECT_EQ(neurons[0]["neuron"], 1);
  // The border between the prompt and what was generated, and that of the texts.
  EXPECT_EQ(tab.eval("document.querySelectorAll('.tokens .word.fresh').length"), 1);
  EXPECT_EQ(tab.eval("document.querySelector('.grid-frame').grid.borders"), Json({3, 4}));
  expect_sound("factors");
}

TEST_F(ResultPage, FactorsOverviewChoosesTheComponent) {
  Tab& tab = show(factors_page(testing::made_up_factors(), demo_source()));
  EXPECT_EQ(
      tab.eval("document.querySelector('.card .grid') !== null && "
               "document.querySelectorAll('.card')[0].contains(document.querySelector('.grid'))"),
      true)
      << "it comes first";
  const Json cells = numbers("0");
  ASSERT_EQ(cells.size(), 2u * 6);
  EXPECT_EQ(cells[11]["component"], 1);
  EXPECT_EQ(cells[11]["text"], 1);
  EXPECT_EQ(cells[11]["strengths"], 0.125);
  const auto title = [&] { return tab.text(".main h3"); };
  auto [x, y] = cell(1, 3);
  tab.move(x, y);
  EXPECT_EQ(title(), "Component 1");
  EXPECT_TRUE(says(tab.text(".tip"), "token 3", "0.750"));
  tab.move(3, 3);
  EXPECT_EQ(title(), "Component 0") << "a look, not a choice";
  tab.click(x, y);
  tab.move(3, 3);
  EXPECT_EQ(title(), "Component 1");
  EXPECT_EQ(tab.eval("document.querySelector(\".component[data-component='1']\")"
                     ".getAttribute('aria-pressed')"),
            "true");
  tab.click_on(".component[data-component='0']");
  tab.move(3, 3);
  EXPECT_EQ(title(), "Component 0") << "the list overrules the row";
  std::tie(x, y) = cell(1, 0);
  tab.move(x, y);
  tab.move(3, 3);
  EXPECT_EQ(title(), "Component 0");
}

TEST_F(ResultPage, SimilarityComparesOneSiteWithAll) {
  Similarity found = testing::made_up_similarity();
  found.columns = {"blocks.0.hook_resid_post", "blocks.1.hook_resid_post"};
  Tab& tab = show(similarity_page(found, demo_source(), "other <model>"));
  focus(".grid");
  tab.press("Home");  // the last site is on top
  EXPECT_TRUE(says(spoken(), "small <model> blocks.0.hook_resid_post",
                   "other <model> blocks.0.hook_resid_post: " + written(0.375)));
  tab.press("ArrowDown");
  tab.press("ArrowRight");
  EXPECT_TRUE(
      says(spoken(),
           "blocks.0.hook_resid_pre and other <model> blocks.1.hook_resid_post: " + written(0.25)));
  EXPECT_EQ(numbers("1")[1]["cka"], 0.25);
  EXPECT_TRUE(numbers("0")[3]["values"].is_null());
  expect_sound("similarity");
}

TEST_F(ResultPage, NoiseShowsTheDrawUnderThePointer) {
  const Noise found = testing::made_up_noise();
  Tab& tab = show(noise_page({&found, 1}, demo_source()));
  EXPECT_TRUE(says(tab.text(".verdict"), written(0.25, "V.signed"), "2.0 of which",
                   "costs the answer less than scattered"));
  EXPECT_TRUE(says(tab.text(".where"), "spans, draw 0", "log-probability −1.500"));
  focus(".plot");
  tab.press("ArrowDown");
  tab.press("End");  // the least harmful draw
  EXPECT_TRUE(says(tab.text(".where"), "token deletion, draw 0", written(-0.75, "V.signed")));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.noised .token').length"), 5);
  tab.press("Home");
  EXPECT_TRUE(says(tab.text(".where"), "token deletion, draw 2", "rank 5"));
  tab.press("Enter");
  tab.press("ArrowUp");
  EXPECT_TRUE(says(tab.text(".where"), "spans, draw 0"));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.noised .mask').length"), 1);
  tab.move_to(".plot");
  tab.move(3, 3);  // what was kept comes back
  EXPECT_TRUE(says(tab.text(".where"), "token deletion, draw 2"));
  const Json rows = numbers("1");
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows[4]["noise"], "token-deletion");
  EXPECT_NEAR(rows[4]["repetitions_log_probability (nats)"].get<double>(), -2.75, kFloat);
  expect_sound("noise");
}

TEST_F(ResultPage, NoiseThatIsWithinItsErrorIsNoFinding) {
  Noise found = testing::made_up_noise();
  found.spans_less_scattered->standard_error = 0.2;
  EXPECT_TRUE(
      says(show(noise_page({&found, 1}, demo_source())).text(".verdict"), "cannot be told apart"));
}

TEST_F(ResultPage, ScoreShowsTokensAndWords) {
  const WordScores scores = testing::made_up_words();
  const auto& tokens = scores.tokens.tokens;
  Tab& tab = show(word_score_page({&scores, 1}, demo_source()));
  EXPECT_TRUE(says(tab.text(".facts"), written(9 / std::log(2.0), "(bits => V.number(bits, 3))") +
                                           " bits"));  // the most surprising comes first
  tab.move_to(".tokens .word[data-at='1']");
  EXPECT_TRUE(says(tab.text(".facts"), "Rank2 of 17",
                   written(std::exp(-tokens[1].top_loss), "V.percent"), "Wordsecond"));
  tab.click_on("input[value=word] + label");
  const std::string small =
      tab.eval("document.querySelectorAll('.tokens .word small')[4].textContent");
  EXPECT_EQ(small, tab.eval("V.number(" + Json(scores.words[1].surprisal / std::log(2.0)).dump() +
                            ", 2)"));
  tab.click_on("input[value=nats] + label");
  focus(".tokens");
  tab.press("End");
  EXPECT_TRUE(says(tab.text(".facts"), "Rank5 of 17", "nats"));
  EXPECT_NEAR(numbers("0")[2]["surprisal"].get<double>(), 9, kFloat);
  EXPECT_TRUE(numbers("4")[0]["word_surprisal (nats)"].is_null());
  expect_sound("score");
}

TEST_F(ResultPage, ALongTextComesInParts) {
  Score score;
  for (int64_t i = 0; i < 5000; ++i)
    score.tokens.push_back({.position = i,
                            .id = static_cast<int32_t>(i % 17),
                            .context = i,
                            .loss = i == 4321 ? 9.0 : 1.0,
                            .entropy = 1,
                            .rank = 1,
                            .top_id = 3,
                            .top_loss = 1});
  Tab& tab = show(score_page({&score, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('.tokens .word').length"), 1200);
  focus(".tokens");
  tab.press("End");
  EXPECT_TRUE(says(tab.text(".parts"), "4,801 to 5,000 of 5,000"));
  EXPECT_TRUE(says(label(199), "position 4999"));
  tab.click_on(".parts button");
  EXPECT_TRUE(says(tab.text(".parts"), "3,601 to 4,800"));
  expect_sound("score-long");
}

TEST_F(ResultPage, RankingsFollowAGeneratedToken) {
  const Lens lens = testing::made_up_rankings();
  Tab& tab = show(rankings_page({&lens, 1}, demo_source()));
  EXPECT_EQ(tab.eval("document.querySelectorAll('button.word').length"), 4);
  EXPECT_TRUE(says(tab.text("button.word[data-step='2']"),
                   "rank " + std::to_string(lens.target_ranks[lens.cell(2, 2)])));
  tab.click_on("button.word[data-step='2']");
  EXPECT_TRUE(says(tab.text(".detail"), "position 3", "pinned"));
  EXPECT_TRUE(
      says(spoken(), "position 3", "rank " + std::to_string(lens.target_ranks[lens.cell(2, 2)])));
  EXPECT_EQ(numbers("2")[0]["log-probability of " +
                            tab.eval("V.token(V.data.results[0].target[2])").get<std::string>()]
                .is_number(),
            true);
  expect_sound("rankings");
}

}  // namespace
}  // namespace vitrine
