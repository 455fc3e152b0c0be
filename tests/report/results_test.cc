// SPDX-License-Identifier: MIT
#include "results.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "report/results/results.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/analysis/score.h"
#include "vitrine/analysis/similarity.h"

// What the pages of attention, covariance, predictivity, factors, similarity, noise, scores and
// rankings hold.

namespace vitrine {
using namespace internal;
namespace {

using testing::data_of;
using testing::demo_source;
using testing::error_of;
using testing::says;
using testing::six_ids;
using testing::unpacked;

/// As float32 holds them.
std::vector<double> rounded(const std::vector<double>& values) {
  std::vector<double> found;
  for (const double value : values) found.push_back(static_cast<double>(static_cast<float>(value)));
  return found;
}

/// What is so of every page.
Json sound(const std::string& page) {
  EXPECT_EQ(testing::between(page, "id=\"data\">", "</script>").find('<'), std::string::npos);
  return data_of(page);
}

std::vector<double> ids_at(const Json& data, const Json& places) {
  const auto ids = unpacked(data["tokens"]["ids"]);
  std::vector<double> found;
  for (const double place : unpacked(places))
    found.push_back(place < 0 ? -1 : ids[static_cast<size_t>(place)]);
  return found;
}

std::vector<double> six() { return {six_ids().begin(), six_ids().end()}; }

TEST(CovariancePage, HoldsHalfOfTheMatrixAndTheSeries) {
  const testing::MadeUpCovariance made(7);
  const CovarianceView view = made.view();
  const Json result = sound(covariance_page({&view, 1}, demo_source()))["results"][0];
  const auto& c = made.covariance.values;
  EXPECT_EQ(unpacked(result["lower"]), rounded({c[0], c[3], c[4], c[6], c[7], c[8]}));
  EXPECT_EQ(unpacked(result["series"]["values"]), rounded(made.series));
  EXPECT_EQ(unpacked(result["series"]["observations"]), (std::vector<double>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(result["names"][1], "down</script>");
  EXPECT_EQ(result["divisor"], 6);
}

TEST(CovariancePage, OfManyObservationsKeepsAnEvenSelection) {
  const testing::MadeUpCovariance made(5000);
  CovarianceView view = made.view();
  const std::vector<double> weights(5000, 0.5);
  view.weights = weights;
  const Json series = sound(covariance_page({&view, 1}, demo_source()))["results"][0]["series"];
  const auto kept = unpacked(series["observations"]), values = unpacked(series["values"]);
  ASSERT_EQ(kept.size(), 2000u);
  EXPECT_EQ(series["all"], 5000);
  for (size_t i = 0; i + 1 < kept.size(); ++i) {
    EXPECT_GE(kept[i + 1] - kept[i], 2);
    EXPECT_LE(kept[i + 1] - kept[i], 3);
  }
  EXPECT_EQ(values[2000 + 1999], rounded({made.series[5000 + static_cast<size_t>(kept[1999])]})[0]);
  EXPECT_EQ(unpacked(series["weights"]), std::vector<double>(2000, 0.5));
}

TEST(CovariancePage, RefusesWhatDoesNotFitTogether) {
  const testing::MadeUpCovariance made(7);
  const auto refusal = [](const CovarianceView& view) {
    return error_of([&] { covariance_page({&view, 1}, demo_source()); });
  };
  CovarianceView view = made.view();
  view.names = {"one", "two"};
  EXPECT_TRUE(says(refusal(view), "2 names", "3 variables"));
  view = made.view();
  view.series.columns = 8;
  EXPECT_TRUE(says(refusal(view), "8 observations", "21 values"));
  view = made.view();
  const std::vector<double> weights(6, 1);
  view.weights = weights;
  EXPECT_TRUE(says(refusal(view), "6 weights", "7 observations"));
  EXPECT_TRUE(says(refusal({}), "missing variables"));
  const Covariance large{.variables = int64_t{1} << 33, .mean = {}, .values = {}};
  EXPECT_TRUE(says(refusal({.covariance = &large}), "4194304 cells", "8589934592 variables"));
  EXPECT_TRUE(says(error_of([] { covariance_page({}, demo_source()); }), "covariance page"));
}

TEST(CovariancePage, OfATableNamesNoModel) {
  const testing::MadeUpCovariance made(7);
  const CovarianceView view = made.view();
  const std::string page = covariance_page({&view, 1}, {.model = {}, .device = {}, .dtype = {}});
  EXPECT_EQ(page.find("model"), std::string::npos);
}

TEST(AttentionPage, HoldsRowsUpToTheirQuery) {
  const AttentionMaps maps = testing::made_up_maps();
  const AttentionRelevance rollout = testing::made_up_rollout({1}, {2, 5});
  const HeadStatistics statistics = testing::made_up_statistics();
  const AttentionViews views{.maps = &maps, .rollout = &rollout, .statistics = &statistics};
  const Json data = sound(attention_page({&views, 1}, demo_source())), result = data["results"][0];
  EXPECT_EQ(ids_at(data, result["tokens"]), six());
  std::vector<double> expected;
  for (size_t head = 0; head < 4; ++head) {
    for (size_t query = 0; query < 6; ++query) {
      for (size_t key = 0; key <= query; ++key)
        expected.push_back(static_cast<double>(maps.row(head / 2, head % 2, query)[key]));
    }
  }
  EXPECT_EQ(unpacked(result["maps"]["values"]), expected);
  std::vector<double> rows(rollout.values.begin(), rollout.values.begin() + 3);
  rows.insert(rows.end(), rollout.values.begin() + 6, rollout.values.end());
  EXPECT_EQ(unpacked(result["rollout"]["values"]), rounded(rows));
  EXPECT_EQ(result["flow"], nullptr);
  EXPECT_EQ(unpacked(result["habits"][0]["kinds"][0]["values"]), rounded(statistics.first_token));
}

TEST(AttentionPage, RefusesNothingDifferentTextsAndTooMuch) {
  const auto refusal = [](const AttentionViews& views) {
    return error_of([&] { attention_page({&views, 1}, demo_source()); });
  };
  EXPECT_TRUE(says(refusal({}), "expected maps, rollout, flow or statistics"));
  AttentionMaps maps = testing::made_up_maps();
  AttentionRelevance rollout = testing::made_up_rollout({1}, {5});
  rollout.ids[0] = 4;
  EXPECT_TRUE(says(refusal({.maps = &maps, .rollout = &rollout}), "different texts"));
  maps.queries = std::vector<int64_t>(1024, 1023);
  maps.layers = std::vector<int>(12);
  EXPECT_TRUE(says(refusal({.maps = &maps}), "6000000 numbers, not 25165824",
                   "fewer layers, heads or queries"));
}

TEST(PredictivityPage, HoldsScoresIntervalsAndNeuroids) {
  const Predictivity found = testing::made_up_predictivity();
  const Json result = sound(predictivity_page(found, demo_source()))["results"][0];
  EXPECT_EQ(unpacked(result["sites"][1]["scores"]), (std::vector<double>{0.375, 0.75}));
  EXPECT_EQ(unpacked(result["sites"][1]["interval"]), (std::vector<double>{0.625, 0.8125}));
  EXPECT_TRUE(std::isnan(unpacked(result["sites"][1]["neuroids"])[3]));
  EXPECT_EQ(unpacked(result["controls"][2]["values"]), (std::vector<double>{0.125, 0.375}));
  EXPECT_EQ(unpacked(result["baseline"]["scores"]), (std::vector<double>{0.03125, 0.0625}));
  EXPECT_EQ(result["subjects"][1], "S<2>");
}

TEST(FactorsPage, NamesNeuronsByTheirBlock) {
  const Factors found = testing::made_up_factors();
  const Json data = sound(factors_page(found, demo_source())), result = data["results"][0];
  EXPECT_EQ(ids_at(data, result["tokens"]), six());
  EXPECT_EQ(unpacked(result["lengths"]), (std::vector<double>{4, 2}));
  EXPECT_EQ(result["components"][0]["neurons"][0],
            Json({{"layer", 3}, {"neuron", 1}, {"weight", 0.8}}));
  EXPECT_EQ(result["components"][0]["neurons"][1],
            Json({{"layer", 1}, {"neuron", 2}, {"weight", 0.6}}));
  EXPECT_EQ(unpacked(result["components"][0]["layers"]), rounded({0.6 * 0.6, 0.8 * 0.8}));
  EXPECT_EQ(unpacked(result["strengths"]), found.strengths);
  Factors broken = found;
  broken.strengths.pop_back();
  EXPECT_TRUE(says(error_of([&] { factors_page(broken, demo_source()); }), "inconsistent sizes"));
}

TEST(SimilarityPage, HoldsTheMatrixAndTheOtherModel) {
  Similarity found = testing::made_up_similarity();
  const Json result = sound(similarity_page(found, demo_source(), "other <model>"))["results"][0];
  const auto values = unpacked(result["values"]);
  EXPECT_EQ(std::vector<double>(values.begin(), values.begin() + 3),
            (std::vector<double>{1, 0.25, 0.375}));
  EXPECT_TRUE(std::isnan(values[3]));
  EXPECT_EQ(result["against"], "other <model>");
  found.values.pop_back();
  EXPECT_TRUE(
      says(error_of([&] { similarity_page(found, demo_source()); }), "2 x 2 sites has 3 values"));
}

TEST(NoisePage, HoldsEveryDrawAndTheFirstTexts) {
  Noise found = testing::made_up_noise();
  for (NoiseEffect& effect : found.effects) {
    for (int r = 3; r < 300; ++r) {
      effect.prompts.push_back(effect.prompts[0]);
      effect.log_probs.push_back(-2 - r);
      effect.masked.push_back(1);
      effect.ranks.push_back(r);
    }
    effect.cosines.resize(600);
    effect.ckas.resize(600);
  }
  const Json data = sound(noise_page({&found, 1}, demo_source())), result = data["results"][0];
  std::vector<double> spans;
  for (size_t r = 0; r < 3; ++r) {
    std::vector<double> ids = six();
    ids[r] = -1;
    spans.insert(spans.end(), ids.begin(), ids.end());
  }
  std::vector<double> tokens = ids_at(data, result["text_token"]);
  tokens.resize(18);
  EXPECT_EQ(tokens, spans) << "a mask without a token has the id -1";
  std::vector<double> lengths(400, 5);
  std::fill_n(lengths.begin(), 200, 6);
  EXPECT_EQ(unpacked(result["text_length"]), lengths);
  const auto log_probs = unpacked(result["repetitions_log_probability"]);
  ASSERT_EQ(log_probs.size(), 600u);
  for (size_t i = 0; i < 600; ++i)
    EXPECT_EQ(log_probs[i], found.effects[i / 300].log_probs[i % 300]) << i;
  EXPECT_EQ(unpacked(result["cosine_standard_error"]), (std::vector<double>{0, 0.125, 0, 0.125}));
  EXPECT_EQ(result["spans_less_scattered"], Json({{"mean", 0.25}, {"standard_error", 0.125}}));
  EXPECT_EQ(result["site"], Json({"embed", "blocks.0.hook_resid_post"}));
}

TEST(ScorePage, HoldsTokensAndWords) {
  const WordScores words = testing::made_up_words();
  const Json data = sound(word_score_page({&words, 1}, demo_source())), result = data["results"][0];
  EXPECT_EQ(ids_at(data, result["token"]), (std::vector<double>{14, 0, 4, 10, 5}));
  EXPECT_EQ(unpacked(result["position"]), (std::vector<double>{1, 2, 3, 4, 5}));
  EXPECT_EQ(unpacked(result["surprisal"])[2], 9);
  EXPECT_TRUE(std::isnan(unpacked(result["word_surprisal"])[0]));
  EXPECT_EQ(result["word"][0], "<first>");
  const Json plain = sound(score_page({&words.tokens, 1}, demo_source()))["results"][0];
  EXPECT_FALSE(plain.contains("word"));
  EXPECT_EQ(plain["surprisal"], result["surprisal"]);
}

TEST(ScorePage, ABookIsAFewMegabytes) {
  Score score;
  for (int64_t i = 0; i < 100'000; ++i)
    score.tokens.push_back({.position = i,
                            .id = static_cast<int32_t>(i % 17),
                            .context = 512,
                            .loss = 1,
                            .entropy = 1,
                            .rank = 1 + static_cast<int32_t>(i % 50000),
                            .top_id = 3,
                            .top_loss = 1});
  EXPECT_LT(score_page({&score, 1}, demo_source()).size(), 5'000'000u);
}

TEST(RankingsPage, SaysWhatWasThePrompt) {
  const Lens lens = testing::made_up_rankings();
  const Json data = sound(rankings_page({&lens, 1}, demo_source())), result = data["results"][0];
  EXPECT_EQ(result["prompt"], 2);
  EXPECT_EQ(ids_at(data, result["ids"]), (std::vector<double>(lens.ids.begin(), lens.ids.end())));
  EXPECT_EQ(ids_at(data, result["target"]),
            (std::vector<double>(lens.ids.begin() + 2, lens.ids.end())));
  EXPECT_FALSE(data_of(lens_page({&lens, 1}, demo_source()))["results"][0].contains("prompt"));
}

TEST(LensFigure, AWatchedTokenIsTheSameLineInEachText) {
  Lens lens = testing::made_up_lens(4, 3, 1, 2, 17);
  lens.watch = {10, 4};
  for (const int32_t target : {10, 4, 14}) {
    lens.targets = {0, 0, target};
    const auto panels = lens_result(lens, demo_source()).panels;
    ASSERT_EQ(panels.size(), 2u);
    const auto& lines = std::get<LinesPanel>(panels[1]);
    ASSERT_EQ(lines.series.size(), target == 14 ? 3u : 2u);
    for (size_t w = 0; w < 2; ++w) {
      EXPECT_EQ(lines.series[w].name, Names(demo_source().tokenizer).shown(lens.watch[w]));
      for (size_t row = 0; row < 4; ++row)
        EXPECT_EQ(lines.series[w].values[row], lens.watch_ranks[2 * lens.cell(row, 2) + w]);
    }
  }
}

TEST(ResultPages, SameBytesTwice) {
  const testing::MadeUpCovariance made(7);
  const CovarianceView view = made.view();
  EXPECT_EQ(covariance_page({&view, 1}, demo_source()), covariance_page({&view, 1}, demo_source()));
  const Noise noise = testing::made_up_noise();
  EXPECT_EQ(noise_page({&noise, 1}, demo_source()), noise_page({&noise, 1}, demo_source()));
}

}  // namespace
}  // namespace vitrine
