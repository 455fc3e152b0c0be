// SPDX-License-Identifier: MIT
#include "results.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>

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

/// What --json prints of a description.
Json json_of(const Result& result) {
  return Json::parse(result_json(result, Names(nullptr)).dump());
}

std::vector<double> six() { return {six_ids().begin(), six_ids().end()}; }

TEST(CovariancePage, HoldsTheMatricesAndTheSeries) {
  const testing::MadeUpCovariance made(7);
  const CovarianceView view = made.view();
  const Json result = sound(covariance_page({&view, 1}, demo_source()))["results"][0];
  const auto& c = made.covariance.values;
  EXPECT_EQ(unpacked(result["covariance"]), rounded(c));
  const auto correlations = unpacked(result["correlation"]);
  EXPECT_NEAR(correlations[1], c[1] / std::sqrt(c[0] * c[4]), 1e-7);
  EXPECT_TRUE(std::isnan(correlations[8])) << "what never changes has none";
  EXPECT_EQ(unpacked(result["series_value"]), rounded(made.series));
  EXPECT_EQ(unpacked(result["series_observation"]), (std::vector<double>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(result["variable"][1], "down</script>");
  EXPECT_EQ(result["divisor"], 6);
  EXPECT_EQ(result["constant"], Json::array({2}));
}

TEST(CovariancePage, OfManyObservationsKeepsAnEvenSelection) {
  const testing::MadeUpCovariance made(5000);
  CovarianceView view = made.view();
  const std::vector<double> weights(5000, 0.5);
  view.weights = weights;
  const Json page = sound(covariance_page({&view, 1}, demo_source()))["results"][0];
  const auto kept = unpacked(page["series_observation"]), values = unpacked(page["series_value"]);
  ASSERT_EQ(kept.size(), 2000u);
  EXPECT_EQ(page["series_total"], 5000);
  for (size_t i = 0; i + 1 < kept.size(); ++i) {
    EXPECT_GE(kept[i + 1] - kept[i], 2);
    EXPECT_LE(kept[i + 1] - kept[i], 3);
  }
  EXPECT_EQ(values[2000 + 1999], rounded({made.series[5000 + static_cast<size_t>(kept[1999])]})[0]);
  EXPECT_EQ(unpacked(page["series_weight"]), std::vector<double>(2000, 0.5));
  EXPECT_EQ(json_of(covariance_result(view, 1))["series"][1]["values"].size(), 5000u)
      << "JSON has all";
}

/// A diagonal matrix of these variances.
Covariance independent(const std::vector<double>& variances) {
  const size_t n = variances.size();
  Covariance found{.variables = static_cast<int64_t>(n),
                   .observations = 9,
                   .weight = 9,
                   .divisor = 8,
                   .mean = std::vector<double>(n),
                   .values = std::vector<double>(n * n)};
  for (size_t i = 0; i < n; ++i) found.values[i * (n + 1)] = variances[i];
  return found;
}

TEST(CovarianceResult, SaysWhatTheStrongestPairMeans) {
  const testing::MadeUpCovariance made(40);
  const auto& c = made.covariance.values;
  const Json result = json_of(covariance_result(made.view(), 5));
  const double r = c[1] / std::sqrt(c[0] * c[4]);
  ASSERT_LT(r, -0.9);
  EXPECT_TRUE(says(result["in_words"], "up and down</script>",
                   fmt::format("correlation of {:+.4f}", r), "tends to be below its own",
                   fmt::format("covariance is {:+.6g}, of the same sign", c[1])));
  ASSERT_EQ(result["strongest"].size(), 1u) << "`flat` has no correlation";
  EXPECT_EQ(result["strongest"][0]["variables"], Json({"up", "down</script>"}));
  EXPECT_EQ(result["strongest"][0]["indices"], Json({0, 1}));
  EXPECT_EQ(result["strongest"][0]["covariance"], c[1]);
  EXPECT_EQ(result["constant"], Json::array({2}));
  const Covariance still = independent({1, 0}), apart = independent({1, 2});
  EXPECT_TRUE(json_of(covariance_result({.covariance = &still}, 5))["in_words"].is_null());
  EXPECT_EQ(json_of(covariance_result({.covariance = &apart}, 5))["in_words"],
            "No two variables vary together: every correlation is 0.");
}

TEST(CovarianceResult, HoldsMeansComponentsAndWeights) {
  const testing::MadeUpCovariance made(5000);
  const PrincipalComponents components{.eigenvalues = {3, 1, 0.5},
                                       .explained = {0.625, 0.25, 0.125},
                                       .count = 2,
                                       .components = {1, 2, 3, 4, 5, 6}};
  std::vector<double> weights(5000);
  std::iota(weights.begin(), weights.end(), 1);
  CovarianceView view = made.view();
  view.components = &components;
  view.weights = weights;
  const Json json = json_of(covariance_result(view, 0));
  EXPECT_EQ(json["mean"], Json(made.covariance.mean));
  EXPECT_EQ(json["eigenvalues"], Json({3.0, 1.0, 0.5}));
  EXPECT_EQ(json["explained"], Json({0.625, 0.25, 0.125}));
  EXPECT_EQ(json["components"], Json::parse("[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]"));
  const Json page = sound(covariance_page({&view, 1}, demo_source()))["results"][0];
  const auto kept = unpacked(page["series_observation"]), shown = unpacked(page["series_weight"]);
  ASSERT_EQ(shown.size(), kept.size());
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(shown[i], kept[i] + 1) << i;
}

TEST(CovarianceResult, HasTheWholeMatrixInJsonAndHalfOfItInCsv) {
  const testing::MadeUpCovariance made(7);
  const Result result = covariance_result(made.view(), 0);
  const Json json = json_of(result);
  EXPECT_EQ(json["covariance"][0][1], made.covariance.values[1]);
  EXPECT_EQ(json["covariance"][1][0], made.covariance.values[3]);
  EXPECT_EQ(json["variables"], Json({"up", "down</script>", "flat"}));
  EXPECT_EQ(json["mean"][0], made.covariance.mean[0]);
  EXPECT_EQ(json["strongest"], Json::array());
  const std::string csv = results_csv({&result, 1}, Names(nullptr));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7);
  EXPECT_TRUE(says(csv, "result,row,column,covariance,correlation\n0,up,up,",
                   fmt::format("\n0,down</script>,up,{},", made.covariance.values[1])));
}

TEST(CovarianceResult, StartsWithCorrelationsWithoutACommonUnitAndForManyVariables) {
  const auto first_panel = [](const std::vector<double>& variances,
                              std::optional<bool> correlations = {}) {
    const Covariance found = independent(variances);
    const Result result =
        covariance_result({.covariance = &found, .correlations = correlations}, 0);
    return std::get<HeatPanel>(result.panels.at(0)).value_name;
  };
  EXPECT_EQ(first_panel({4, 1, 0}), "covariance") << "a constant has no scale";
  EXPECT_EQ(first_panel({100, 1}), "covariance");
  EXPECT_EQ(first_panel({101, 1}), "correlation")
      << "deviations differ by more than a factor of 10";
  EXPECT_EQ(first_panel(std::vector<double>(16, 1)), "covariance");
  EXPECT_EQ(first_panel(std::vector<double>(17, 1)), "correlation");
  EXPECT_EQ(first_panel({101, 1}, false), "covariance");
  EXPECT_EQ(first_panel({4, 1}, true), "correlation");
}

TEST(CovarianceResult, SmallMatricesHaveNumbersInTheirCells) {
  Covariance found = independent({1.5, 400});
  found.values[1] = found.values[2] = -12.25;
  const auto panels = covariance_result({.covariance = &found}, 0).panels;
  ASSERT_EQ(panels.size(), 2u) << "correlations, then covariances";
  EXPECT_EQ(std::get<HeatPanel>(panels[0]).texts,
            (std::vector<std::string>{"1", "-0.5001", "-0.5001", "1"}))  // -12.25 / sqrt(600)
      << "by hand";
  EXPECT_EQ(std::get<HeatPanel>(panels[1]).texts,
            (std::vector<std::string>{"1.5", "-12.25", "-12.25", "400"}));
  found.values[1] = found.values[2] = -1.2345e-105;
  EXPECT_EQ(std::get<HeatPanel>(covariance_result({.covariance = &found}, 0).panels[1]).texts[1],
            "-1.2e-105")
      << "a cell has room for nine characters";
  const Covariance many = independent(std::vector<double>(17, 1));
  const auto of_many = covariance_result({.covariance = &many}, 0).panels;
  ASSERT_EQ(of_many.size(), 1u);
  EXPECT_TRUE(std::get<HeatPanel>(of_many[0]).texts.empty());
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

TEST(AttentionPage, HoldsMapsAndTheirTokens) {
  const AttentionMaps maps = testing::made_up_maps();
  const AttentionViews views{.maps = &maps};
  const Json data = sound(attention_page({&views, 1}, demo_source())), result = data["results"][0];
  EXPECT_EQ(result["mode"], "maps");
  EXPECT_EQ(ids_at(data, result["key_token"]), six());
  EXPECT_EQ(ids_at(data, result["token"]), six());
  EXPECT_EQ(result["site"], Json({"blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"}));
  std::vector<double> expected;
  for (size_t head = 0; head < 4; ++head) {
    for (size_t query = 0; query < 6; ++query) {
      for (size_t key = 0; key <= query; ++key)
        expected.push_back(static_cast<double>(maps.row(head / 2, head % 2, query)[key]));
    }
  }
  EXPECT_EQ(unpacked(result["attention"]), expected) << "rows up to their query";
}

TEST(AttentionPage, EachViewIsAResultOfItsOwn) {
  const AttentionRelevance rollout = testing::made_up_rollout({1}, {2, 5});
  const AttentionRelevance flow = testing::made_up_flow();
  const HeadStatistics statistics = testing::made_up_statistics();
  const AttentionViews views{.rollout = &rollout, .flow = &flow, .statistics = &statistics};
  const Json results = sound(attention_page({&views, 1}, demo_source()))["results"];
  ASSERT_EQ(results.size(), 3u);
  std::vector<double> rows(rollout.values.begin(), rollout.values.begin() + 3);
  rows.insert(rows.end(), rollout.values.begin() + 6, rollout.values.end());
  EXPECT_EQ(unpacked(results[0]["rollout"]), rounded(rows));
  EXPECT_EQ(results[0]["site"], Json({"blocks.1.hook_resid_post"}));
  EXPECT_EQ(unpacked(results[1]["flow"]), (std::vector<double>{1, 0.25, 0.75}));
  EXPECT_EQ(unpacked(results[2]["first_token"]), rounded(statistics.first_token));
  // A flow has its own caution, and the wide edges of its network.
  EXPECT_TRUE(says(results[1]["caution"].get<std::string>(), "not what did"));
  EXPECT_NE(results[0]["caution"], results[1]["caution"]);
  EXPECT_EQ(unpacked(results[1]["edge_from"]), (std::vector<double>{0, 1, 1, 0, 1}));
  EXPECT_EQ(unpacked(results[1]["edge_to"]), (std::vector<double>{0, 0, 1, 0, 1}));
  EXPECT_EQ(unpacked(results[1]["edge_block"]), (std::vector<double>{0, 0, 0, 1, 1}));
  EXPECT_EQ(unpacked(results[1]["edge_capacity"]), rounded({1, 0.25, 0.75, 1, 0.995}));
  EXPECT_FALSE(results[0].contains("edge_from"));
}

TEST(AttentionPage, RefusesNothingDifferentHeadsAndTooMuch) {
  const auto refusal = [](const AttentionViews& views) {
    return error_of([&] { attention_page({&views, 1}, demo_source()); });
  };
  EXPECT_TRUE(says(refusal({}), "expected maps, rollout, flow or statistics"));
  const HeadStatistics statistics = testing::made_up_statistics();
  RepetitionScores scores;
  scores.layers = {0};
  scores.heads = {0, 1};
  EXPECT_TRUE(says(refusal({.statistics = &statistics, .repetition = &scores}), "different heads",
                   "same layers and heads"));
  AttentionRelevance many{.ids = std::vector<int32_t>(4001, 4),
                          .layers = {0},
                          .queries = std::vector<int64_t>(1500, 4000),
                          .values = std::vector<double>(1500 * 4001)};
  EXPECT_TRUE(says(refusal({.rollout = &many}), "an attention page is limited to 6000000 cells",
                   "fewer positions, layers or texts"));
}

TEST(PredictivityPage, HoldsScoresIntervalsAndNeuroids) {
  const Predictivity found = testing::made_up_predictivity();
  const Json result = sound(predictivity_page(found, demo_source()))["results"][0];
  EXPECT_EQ(unpacked(result["r"]), (std::vector<double>{0.125, 0.375, 0.25}));
  EXPECT_EQ(unpacked(result["score"])[1], 0.75);
  EXPECT_EQ(unpacked(result["interval"])[2], 0.625);
  EXPECT_EQ(unpacked(result["interval"])[3], 0.8125);
  EXPECT_TRUE(std::isnan(unpacked(result["neuroids"])[4 + 3]));
  EXPECT_EQ(unpacked(result["control_score"])[2], 0.125);
  EXPECT_EQ(unpacked(result["control_advantage"])[2], 0.375);
  EXPECT_EQ(unpacked(result["baseline_score"]), (std::vector<double>{0.0625}));
  EXPECT_EQ(result["subject"][1], "S<2>");
  EXPECT_EQ(result["verdict"], Json({"lower", "best", "not distinguishable"}));
}

TEST(PredictivityResult, HoldsWhatIsOfEachSite) {
  const Json json = json_of(predictivity_result(testing::made_up_predictivity()));
  const Json& site = json["sites"][2];
  EXPECT_EQ(site["layer"], 1);
  EXPECT_EQ(site["features"], 8);
  EXPECT_EQ(site["interval"], Json({0.375, 0.5625}));
  EXPECT_EQ(site["subjects"], Json({0.5, 0.25}));
  EXPECT_EQ(site["neuroids"], Json({0.25, 0.125, 0.0625, nullptr}));
  EXPECT_EQ(site["control"]["score"], 0.125);
  EXPECT_EQ(site["control"]["scores"], Json({0.125}));
  EXPECT_EQ(site["control"]["interval"], Json({0.0, 0.25}));
  EXPECT_EQ(site["control"]["advantage"], 0.375);
  EXPECT_EQ(site["control"]["advantage_interval"], Json({0.0625, 0.5}));
  EXPECT_EQ(json["baseline"]["below_best_interval"], Json({0.5, 0.875}));
  EXPECT_EQ(json["neuroid_subjects"], Json({"S1", "S1", "S<2>", "S<2>"}));
}

TEST(PredictivityResult, MarksWhatCannotBeToldFromTheBest) {
  Predictivity found = testing::made_up_predictivity();
  const Result result = predictivity_result(found);
  const Json json = json_of(result);
  EXPECT_EQ(json["sites"][0]["site"], "blocks.0.hook_resid_pre");
  EXPECT_EQ(json["sites"][0]["verdict"], "lower");
  EXPECT_EQ(json["sites"][1]["verdict"], "best");
  EXPECT_EQ(json["sites"][2]["verdict"], "not distinguishable");
  EXPECT_EQ(json["sites"][2]["below_best"], 0.25);
  EXPECT_EQ(json["sites"][2]["below_best_interval"], Json({-0.125, 0.5}));
  EXPECT_EQ(json["baseline"]["verdict"], "lower");
  EXPECT_EQ(json["baseline"]["name"], "baseline");
  EXPECT_TRUE(says(json["in_words"], "best: blocks.0.hook_resid_post, r / ceiling 0.750 (r 0.375)",
                   "1 of 2 other sites", "includes 0: 1."));
  const auto& lines = std::get<LinesPanel>(result.panels[0]);
  EXPECT_EQ(lines.notes, (std::vector<std::string>{"", "best", "≈"}));
  EXPECT_EQ(lines.x_name, "site (≈: not distinguishable from the best)");
  const std::string csv = results_csv({&result, 1}, Names(nullptr));
  EXPECT_TRUE(says(csv, "site,layer,features,r,score,below_best,verdict,interval_low",
                   "blocks.1.hook_resid_post,1,8,0.25,0.5,0.25,not distinguishable,0.375,0.5625"));
  found.sites[2].below_best_interval = {0, 0.5};
  EXPECT_EQ(json_of(predictivity_result(found))["sites"][2]["verdict"], "not distinguishable")
      << "an end of 0 is included";
  found.sites[2].below_best_interval = {1e-9, 0.5};
  EXPECT_TRUE(says(json_of(predictivity_result(found))["in_words"], "Each other site is lower"));
  for (PredictivityScore& site : found.sites)
    site.below_best_interval = {std::nan(""), std::nan("")};
  EXPECT_EQ(json_of(predictivity_result(found))["sites"][2]["verdict"], "no interval");
}

TEST(FactorsPage, NamesNeuronsByTheirBlock) {
  const Factors found = testing::made_up_factors();
  const Json data = sound(factors_page(found, demo_source())), result = data["results"][0];
  EXPECT_EQ(ids_at(data, result["token"]), six());
  EXPECT_EQ(unpacked(result["text"]), (std::vector<double>{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(unpacked(result["position"]), (std::vector<double>{0, 1, 2, 3, 0, 1}));
  EXPECT_EQ(unpacked(result["step"]), std::vector<double>(6, 0));
  const auto layers = unpacked(result["top_neurons_layer"]),
             neurons = unpacked(result["top_neurons_neuron"]),
             weights = unpacked(result["top_neurons_weight"]);
  ASSERT_EQ(layers.size(), 2u * 8) << "no more than there are";
  EXPECT_EQ((std::vector<double>{layers[0], neurons[0], layers[1], neurons[1], layers[8]}),
            (std::vector<double>{3, 1, 1, 2, 1}));
  EXPECT_EQ((std::vector<double>{weights[0], weights[1], weights[8]}), rounded({0.8, 0.6, 1}));
  EXPECT_EQ(unpacked(result["layer_shares"]), rounded({0.6 * 0.6, 0.8 * 0.8, 1, 0}));
  // 0.5, 2 and 1 of the first component, 0.25, 0.75 and 0.125 of the second.
  EXPECT_EQ(unpacked(result["share"]), rounded({5.25 / 5.890625, 0.640625 / 5.890625}));
  EXPECT_EQ(unpacked(result["strengths"]), found.strengths);
  Factors broken = found;
  broken.strengths.pop_back();
  EXPECT_TRUE(says(error_of([&] { factors_page(broken, demo_source()); }), "inconsistent sizes"));
  broken = found;
  broken.prompt_tokens = {4};
  EXPECT_TRUE(says(error_of([&] { factors_page(broken, demo_source()); }), "inconsistent sizes"));
}

TEST(FactorsPage, CountsTheStepsOfAGeneration) {
  Factors found = testing::made_up_factors();
  found.prompt_tokens = {
      2, 2};  // two tokens were generated after the first text, none after the other
  const Json result = sound(factors_page(found, demo_source()))["results"][0];
  EXPECT_EQ(unpacked(result["step"]), (std::vector<double>{0, 0, 1, 2, 0, 0}));
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

TEST(ScorePage, BeginsWithTheWordWithoutContext) {
  Score score = testing::made_up_words().tokens;
  score.first = testing::six_ids()[0];
  const Json data = sound(score_page({&score, 1}, demo_source())), result = data["results"][0];
  EXPECT_EQ(ids_at(data, result["token"]), six());
  EXPECT_EQ(unpacked(result["position"]), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(unpacked(result["context"])[0], 0);
  for (const char* field : {"surprisal", "entropy", "top_probability"})
    EXPECT_TRUE(std::isnan(unpacked(result[field])[0])) << field;
  EXPECT_EQ(unpacked(result["surprisal"])[3], 9) << "the others follow it";
}

TEST(WindowsPage, HoldsInputsAndTargets) {
  const WindowedText text{testing::six_ids(), 2, 3};
  const Json data = sound(windows_page({&text, 1}, demo_source())), result = data["results"][0];
  EXPECT_EQ(ids_at(data, result["text_token"]), six());
  EXPECT_EQ(unpacked(result["begin"]), (std::vector<double>{0, 3}));
  EXPECT_EQ(ids_at(data, result["inputs"]), (std::vector<double>{10, 14, 4, 10}));
  EXPECT_EQ(ids_at(data, result["targets"]), (std::vector<double>{14, 0, 10, 5}));
  EXPECT_EQ(result["window"], 2);
  EXPECT_EQ(result["stride"], 3);
  EXPECT_TRUE(says(error_of([] { windows_page({}, demo_source()); }), "windows page"));
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
