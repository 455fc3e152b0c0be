// SPDX-License-Identifier: MIT
// The whole of neural predictivity: features against single passes, and a study whose truth is
// known.

#include "vitrine/analysis/predictivity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "analysis/predictivity/stages.h"
#include "base/random.h"
#include "support.h"
#include "tests/support.h"
#include "vitrine/tokenizer.h"

namespace vitrine::testing {
using namespace internal;
namespace {

Config wider_config() {
  Config config;
  config.layers = 3;
  config.heads = 2;
  config.width = 12;
  config.inner = 24;
  config.vocab = 61;
  config.context = 40;
  return config;
}

/// Stimuli of 1 to 4 tokens in groups of `each`.
Stimuli some_stimuli(size_t count, size_t each) {
  Stimuli stimuli;
  for (size_t i = 0; i < count; ++i) {
    stimuli.ids.push_back(some_ids(1 + mix64(i) % 4, i + 1));
    stimuli.groups.push_back("story " + std::to_string(i / each));
  }
  return stimuli;
}

TEST(PredictivityFeatures, AreThoseOfASinglePassBehindTheContext) {
  const Model model = small_model();  // a context of 12: groups of 7 stimuli outgrow it
  Stimuli stimuli = some_stimuli(21, 7);
  std::swap(stimuli.groups[2], stimuli.groups[9]);  // groups need not stand together
  const FeatureOptions options{.sites = {"blocks.*.hook_resid_post", "blocks.0.hook_resid_pre",
                                         "blocks.1.mlp.hook_post", "blocks.1.hook_resid_post"}};
  const FeatureSet found = stimulus_features(model, stimuli, options);
  ASSERT_EQ(found.sites.size(), 5u) << "each site once";
  const std::vector<std::string> names = {"blocks.0.hook_resid_pre", "blocks.0.hook_resid_post",
                                          "blocks.1.mlp.hook_post", "blocks.1.hook_resid_post",
                                          "blocks.2.hook_resid_post"};
  int64_t cut = 0;
  for (size_t i = 0; i < 21; ++i) {
    std::vector<int32_t> text;
    for (size_t j = 0; j <= i; ++j) {
      if (stimuli.groups[j] == stimuli.groups[i])
        text.insert(text.end(), stimuli.ids[j].begin(), stimuli.ids[j].end());
    }
    if (text.size() > 12) {
      text.erase(text.begin(), text.end() - 12);
      ++cut;
    }
    Hooks hooks;
    for (const std::string& name : names) hooks.capture(name);
    const auto run = model.forward(text, hooks);
    for (size_t s = 0; s < names.size(); ++s) {
      EXPECT_EQ(found.sites[s].site, names[s]);
      const auto wanted = run[names[s]].slice(static_cast<int64_t>(text.size()) - 1).f32();
      const auto got = found.sites[s].values.view().slice(static_cast<int64_t>(i)).f32();
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), got.begin(), got.end()))
          << "stimulus " << i << ", " << names[s];
    }
  }
  EXPECT_GT(cut, 3);
  EXPECT_EQ(found.cut, cut);
}

TEST(PredictivityFeatures, WithoutContextEachStimulusStandsAlone) {
  const Model model = small_model();
  const Stimuli stimuli = some_stimuli(9, 9);
  FeatureOptions options{.sites = {"blocks.2.hook_resid_post"}, .context = StimulusContext::kNone};
  const FeatureSet found = stimulus_features(model, stimuli, options);
  EXPECT_EQ(found.cut, 0);
  Hooks hooks;
  hooks.capture("blocks.2.hook_resid_post");
  for (size_t i = 0; i < 9; ++i) {
    const auto run = model.forward(stimuli.ids[i], hooks);
    const auto wanted = run["blocks.2.hook_resid_post"]
                            .slice(static_cast<int64_t>(stimuli.ids[i].size()) - 1)
                            .f32();
    const auto got = found.sites[0].values.view().slice(static_cast<int64_t>(i)).f32();
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), got.begin(), got.end())) << i;
  }
  options.edits.edit("blocks.2.hook_resid_post", zero());
  const FeatureSet edited = stimulus_features(model, stimuli, options);
  for (const float x : edited.sites[0].values.f32()) EXPECT_EQ(x, 0) << "edits are seen";
}

TEST(PredictivityFeatures, TextsAreJoinedByOneBlank) {
  const auto path =
      std::filesystem::path(VITRINE_SOURCE_DIR) / "models" / "demo" / "tokenizer.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "models/demo is not there";
  const auto tokenizer = Tokenizer::load(path);
  const std::vector<std::string> texts = {"The keys", "of the city", " are",
                                          "old. ",    "Next",        "story"},
                                 groups = {"a", "a", "a", "a", "a", "b"};
  const auto text_of = [&](StimulusContext context, const std::string& group) {
    const Stimuli stimuli = encode_stimuli(*tokenizer, texts, groups, context);
    std::string text;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (stimuli.groups[i] == group) text += tokenizer->decode(stimuli.ids[i]);
    }
    return text;
  };
  EXPECT_EQ(text_of(StimulusContext::kGroup, "a"), "The keys of the city are old. Next");
  EXPECT_EQ(text_of(StimulusContext::kGroup, "b"), "story");
  EXPECT_EQ(text_of(StimulusContext::kNone, "a"), "The keysof the city areold. Next");
}

TEST(PredictivityFeatures, ATextBeginsWithTheTokensBeforeIt) {
  const Model model = small_model();
  const Batch words = {{5, 6}, {7}, {8, 9, 10}, {11}};
  const std::vector<std::string> groups = {"x", "x", "y", "x"};
  for (const auto context : {StimulusContext::kGroup, StimulusContext::kNone}) {
    const FeatureOptions options{.sites = {"blocks.2.hook_resid_post"}, .context = context};
    Batch framed = words;
    for (size_t i = 0; i < words.size(); ++i) {
      const bool begins = i == 0 || i == 2 || context == StimulusContext::kNone;
      if (begins) framed[i].insert(framed[i].begin(), {3, 4});
    }
    const Tensor wanted = stimulus_features(model, {framed, groups}, options).sites[0].values;
    const Tensor got = stimulus_features(model, {words, groups, {3, 4}}, options).sites[0].values;
    EXPECT_TRUE(std::ranges::equal(got.f32(), wanted.f32()));
  }
  EXPECT_USER_ERROR(stimulus_features(model, {words, groups, {99999}}, {}),
                    "token before each text: 99999");
}

/// Responses that are a random direction of one site's features plus noise of the same variance: a
/// predictor that knew the direction would reach r = sqrt(1/2).
Responses responses_from(const Tensor& features, int neuroids, int subjects) {
  const auto stimuli = features.shape()[0], width = features.shape()[1];
  Responses responses{.values = Tensor(DType::kF32, {stimuli, neuroids})};
  for (int q = 0; q < neuroids; ++q) {
    std::vector<double> signal(static_cast<size_t>(stimuli), 0.0);
    for (int64_t i = 0; i < stimuli; ++i) {
      for (int64_t f = 0; f < width; ++f) {
        signal[static_cast<size_t>(i)] +=
            features.f32()[static_cast<size_t>(i * width + f)] *
            standard_normal(mix64(100 + static_cast<uint64_t>(q)), static_cast<uint64_t>(f));
      }
    }
    const double mean =
        std::accumulate(signal.begin(), signal.end(), 0.0) / static_cast<double>(stimuli);
    double variance = 0;
    for (const double x : signal)
      variance += (x - mean) * (x - mean) / static_cast<double>(stimuli);
    for (int64_t i = 0; i < stimuli; ++i) {
      const double noise =
          standard_normal(mix64(9000 + static_cast<uint64_t>(q)), static_cast<uint64_t>(i));
      responses.values.f32()[static_cast<size_t>(i * neuroids + q)] =
          static_cast<float>((signal[static_cast<size_t>(i)] - mean) / std::sqrt(variance) + noise);
    }
    responses.subjects.push_back("subject " + std::to_string(q % subjects));
  }
  return responses;
}

/// One study for several tests: 240 stimuli in 48 groups, 24 neuroids of 4 subjects that see the
/// site of block 1's neurons.
struct Made {
  Model model = Model::random(wider_config(), 5, {.threads = 1});
  Stimuli stimuli = some_stimuli(240, 5);
  PredictivityOptions options;
  Responses responses;

  Made() {
    options.features.sites = {"blocks.*.mlp.hook_post"};
    options.bootstraps = 300;
    options.control_model.threads = 1;
    responses =
        responses_from(stimulus_features(model, stimuli, options.features).sites[1].values, 24, 4);
  }
};

const Made& made() {
  static const Made one;
  return one;
}

TEST(PredictivityStudy, FindsTheLayerThatMadeTheResponses) {
  PredictivityOptions options = made().options;
  options.regression.method = Regression::kOls;  // its error is known in closed form
  const Predictivity found = predictivity(made().model, made().stimuli, made().responses, options);
  ASSERT_EQ(found.sites.size(), 3u);
  EXPECT_EQ(found.best, 1u);
  EXPECT_EQ(found.sites[1].name, "blocks.1.mlp.hook_post");
  EXPECT_EQ(found.subjects.size(), 4u);
  const PredictivityScore& best = found.sites[1];
  // sqrt(1/2), less what 24 coefficients cost that are learnt from 192 noisy responses: r = s /
  // sqrt((s^2 + e)(s^2 + 1)), s^2 = 1 and e = F / (n - F - 1), least squares' expected excess
  // error. Median over few neuroids, each from 5 x 48 responses: 0.04.
  const double excess = 24.0 / (192 - 24 - 1), wanted = 1 / std::sqrt((1 + excess) * 2);
  EXPECT_NEAR(best.score, wanted, 0.04);
  EXPECT_LT(best.interval.low, wanted);
  EXPECT_GT(best.interval.high, wanted);
  EXPECT_LT(best.interval.high - best.interval.low, 0.2);
  for (const double subject : best.subjects) EXPECT_NEAR(subject, wanted, 0.12);
  EXPECT_GT(best.score, found.sites[0].score + 0.02);
  EXPECT_GT(best.score, found.sites[2].score + 0.02);
  EXPECT_LT(found.baseline.score, 0.4);
  ASSERT_EQ(found.controls.size(), 3u);
  EXPECT_LT(found.controls[1].score, best.score);
  EXPECT_DOUBLE_EQ(found.controls[1].advantage, best.score - found.controls[1].scores[0]);
  EXPECT_GT(found.controls[1].advantage_interval.low, 0);
  EXPECT_LE(found.controls[1].interval.low, found.controls[1].score);
  // Neurons are far from independent, so that ridge gets nearer to what one could know.
  const Predictivity ridge =
      predictivity(made().model, made().stimuli, made().responses, made().options);
  EXPECT_EQ(ridge.best, 1u);
  EXPECT_GT(ridge.sites[1].score, best.score);
  EXPECT_LT(ridge.sites[1].score, std::sqrt(0.5) + 0.02);
}

/// A plain median.
double middle(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x.size() % 2 == 1 ? x[x.size() / 2] : (x[x.size() / 2 - 1] + x[x.size() / 2]) / 2;
}

/// The score's difference between two sites in draws of this test's own: subjects, and neuroids
/// within each. Unpaired: each site has draws of its own.
std::vector<double> drawn_differences(const PredictivityScore& a, const PredictivityScore& b,
                                      bool paired) {
  std::mt19937_64 dice(77);
  std::vector<double> differences;
  for (int draw = 0; draw < 4000; ++draw) {
    std::vector<double> of_a, of_b;
    for (int s = 0; s < 4; ++s) {
      std::vector<double> a_of_subject, b_of_subject;
      const size_t subject = dice() % 4, other = paired ? subject : dice() % 4;
      for (int q = 0; q < 6; ++q) {  // neuroid q is of subject q % 4
        const size_t neuroid = dice() % 6, another = paired ? neuroid : dice() % 6;
        a_of_subject.push_back(a.neuroids[4 * neuroid + subject]);
        b_of_subject.push_back(b.neuroids[4 * another + other]);
      }
      of_a.push_back(middle(a_of_subject));
      of_b.push_back(middle(b_of_subject));
    }
    differences.push_back(middle(of_a) - middle(of_b));
  }
  std::sort(differences.begin(), differences.end());
  return differences;
}

TEST(PredictivityStudy, ComparesSitesWithTheBestInPairs) {
  PredictivityOptions options = made().options;
  options.control_seeds = {};
  options.bootstraps = 2000;
  const Predictivity found = predictivity(made().model, made().stimuli, made().responses, options);
  const PredictivityScore& best = found.sites[found.best];
  EXPECT_EQ(best.below_best, 0);
  EXPECT_EQ(best.below_best_interval.low, 0);
  EXPECT_EQ(best.below_best_interval.high, 0);
  for (const PredictivityScore* other : {&found.sites[0], &found.sites[2], &found.baseline}) {
    EXPECT_DOUBLE_EQ(other->below_best, best.score - other->score);
    const Interval& interval = other->below_best_interval;
    const auto paired = drawn_differences(best, *other, true),
               unpaired = drawn_differences(best, *other, false);
    const double deviation = (paired[3899] - paired[99]) / (2 * 1.96);
    // An end of 2,000 draws of a normal number varies by 0.06 deviations, of 4,000 by 0.04; medians
    // of few neuroids are coarser.
    EXPECT_NEAR(interval.low, paired[99], 0.4 * deviation) << other->name;
    EXPECT_NEAR(interval.high, paired[3899], 0.4 * deviation) << other->name;
    if (other != &found.baseline) {
      EXPECT_LT(interval.high - interval.low, 0.9 * (unpaired[3899] - unpaired[99]))
          << "what varies for both does not count";
    }
  }
  EXPECT_GT(found.baseline.below_best_interval.low, 0);
}

TEST(PredictivityStudy, EqualSitesCannotBeToldApart) {
  PredictivityOptions options = made().options;
  options.control_seeds = {};
  options.bootstraps = 50;
  // The stream after block 0 is what enters block 1.
  options.features.sites = {"blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"};
  const Predictivity found = predictivity(made().model, made().stimuli, made().responses, options);
  EXPECT_EQ(found.best, 0u) << "the first of equals";
  EXPECT_EQ(found.sites[1].below_best, 0);
  EXPECT_EQ(found.sites[1].below_best_interval.low, 0);
  EXPECT_EQ(found.sites[1].below_best_interval.high, 0);
  options.bootstraps = 0;
  EXPECT_TRUE(std::isnan(predictivity(made().model, made().stimuli, made().responses, options)
                             .sites[1]
                             .below_best_interval.low))
      << "no draws, no interval";
}

TEST(PredictivityStudy, FindsNothingInShuffledResponses) {
  Responses shuffled = made().responses;
  shuffled.values = Tensor(DType::kF32, made().responses.values.shape());
  std::vector<size_t> order(240);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [](size_t a, size_t b) { return mix64(a) < mix64(b); });
  for (size_t i = 0; i < 240; ++i) {
    for (size_t q = 0; q < 24; ++q)
      shuffled.values.f32()[i * 24 + q] = made().responses.values.f32()[order[i] * 24 + q];
  }
  PredictivityOptions options = made().options;
  options.control_seeds = {};
  options.bootstraps = 0;
  const Predictivity found = predictivity(made().model, made().stimuli, shuffled, options);
  // A neuroid's r over 240 stimuli has a standard deviation of about 1/sqrt(240) = 0.065, the
  // median of 24 a quarter of that.
  for (const PredictivityScore& site : found.sites) EXPECT_NEAR(site.score, 0, 0.06) << site.name;
  EXPECT_TRUE(std::isnan(found.sites[0].interval.low)) << "no draws, no interval";
  EXPECT_TRUE(found.controls.empty());
}

/// Their tensor is not shared.
Responses copy_of(const Responses& responses) {
  Responses copy = responses;
  copy.values = Tensor::from(responses.values.f32(), responses.values.shape());
  return copy;
}

TEST(PredictivityStudy, ScoresAreMediansOfMediansAndCeilingsDivide) {
  PredictivityOptions options = made().options;
  options.features.sites = {"blocks.1.mlp.hook_post"};
  options.control_seeds = {};
  Responses responses = copy_of(made().responses);
  for (size_t i = 0; i < 240; ++i) responses.values.f32()[i * 24 + 7] = 2.5f;  // says nothing
  for (size_t q = 0; q < 24; ++q) responses.ceilings.push_back(0.4 + 0.02 * static_cast<double>(q));
  responses.subjects[3] = "subject alone";
  const Predictivity found = predictivity(made().model, made().stimuli, responses, options);
  EXPECT_EQ(found.constant, (std::vector<int64_t>{7}));
  const PredictivityScore& site = found.sites[0];
  EXPECT_TRUE(std::isnan(site.neuroids[7]));
  std::map<std::string, std::vector<double>> raw, ceiled;
  for (size_t q = 0; q < 24; ++q) {
    if (q == 7) continue;
    raw[responses.subjects[q]].push_back(site.neuroids[q]);
    ceiled[responses.subjects[q]].push_back(site.neuroids[q] / responses.ceilings[q]);
  }
  std::vector<double> raw_medians, ceiled_medians;
  for (const auto& [subject, numbers] : raw) raw_medians.push_back(middle(numbers));
  for (const auto& [subject, numbers] : ceiled) ceiled_medians.push_back(middle(numbers));
  EXPECT_DOUBLE_EQ(site.r, middle(raw_medians));
  EXPECT_DOUBLE_EQ(site.score, middle(ceiled_medians));
  ASSERT_EQ(site.subjects.size(), 5u);
  EXPECT_DOUBLE_EQ(site.subjects[3], site.neuroids[3] / responses.ceilings[3]);
  EXPECT_EQ(found.subjects[3], "subject alone") << "in order of appearance";

  responses.ceilings = {0.5};
  const Predictivity one = predictivity(made().model, made().stimuli, responses, options);
  EXPECT_DOUBLE_EQ(one.sites[0].score, one.sites[0].r / 0.5);
  EXPECT_DOUBLE_EQ(one.sites[0].r, site.r);
}

TEST(PredictivityStudy, SeedsDecide) {
  PredictivityOptions options = made().options;
  options.features.sites = {"blocks.1.mlp.hook_post"};
  options.control_seeds = {3, 4};
  options.bootstraps = 50;
  const Predictivity one = predictivity(made().model, made().stimuli, made().responses, options);
  const Predictivity same = predictivity(made().model, made().stimuli, made().responses, options);
  EXPECT_EQ(one.sites[0].neuroids, same.sites[0].neuroids);
  EXPECT_EQ(one.sites[0].interval.low, same.sites[0].interval.low);
  ASSERT_EQ(one.controls[0].scores.size(), 2u);
  EXPECT_NE(one.controls[0].scores[0], one.controls[0].scores[1]);
  EXPECT_DOUBLE_EQ(one.controls[0].score,
                   (one.controls[0].scores[0] + one.controls[0].scores[1]) / 2);
  options.control_seeds = {4};
  EXPECT_EQ(predictivity(made().model, made().stimuli, made().responses, options).controls[0].score,
            one.controls[0].scores[1]);
  options.seed = 1;
  EXPECT_NE(predictivity(made().model, made().stimuli, made().responses, options).folds, one.folds);
}

TEST(PredictivityBootstrap, HasTheSpreadThatStatisticsExpects) {
  // 400 normal numbers of one subject: the median's standard error is sqrt(pi / 2) / 20 = 0.0627
  // (asymptotic; 300 draws: 10 %).
  std::vector<double> x(400);
  for (size_t i = 0; i < x.size(); ++i) x[i] = standard_normal(mix64(2), i);
  std::vector<size_t> all(400);
  std::iota(all.begin(), all.end(), size_t{0});
  const auto draws = bootstrap_scores(x, {all}, 1000, 7);
  const Interval interval = interval_of(draws);
  EXPECT_NEAR((interval.high - interval.low) / (2 * 1.96), 0.0627, 0.015);
  // Ten subjects whose neuroids agree: what varies is who is drawn.
  SubjectNeuroids subjects(10);
  for (size_t q = 0; q < x.size(); ++q) {
    subjects[q % 10].push_back(q);
    x[q] = static_cast<double>(q % 10);
  }
  const Interval between = interval_of(bootstrap_scores(x, subjects, 1000, 7));
  EXPECT_LT(between.low, 3);
  EXPECT_GT(between.high, 6);
  EXPECT_DOUBLE_EQ(interval_of({3, 1, 2}).low, 1.05) << "numpy.percentile([1, 2, 3], 2.5)";
  EXPECT_DOUBLE_EQ(interval_of({3, 1, 2}).high, 2.95);
}

TEST(PredictivityStudy, RefusesWhatDoesNotFit) {
  const Made& m = made();
  const auto error_of = [&](auto&& change) {
    Stimuli stimuli = m.stimuli;
    Responses responses = copy_of(m.responses);
    PredictivityOptions options = m.options;
    change(stimuli, responses, options);
    return user_error_of([&] { predictivity(m.model, stimuli, responses, options); });
  };
  EXPECT_EQ(
      error_of([](auto& s, auto&, auto&) { s.ids.pop_back(), s.groups.pop_back(); }),
      "239 stimuli and 240 rows of responses: expected one row per stimulus, in the same order");
  EXPECT_EQ(error_of([](auto&, auto& r, auto&) { r.values.f32()[24 * 2 + 5] = NAN; }),
            "the response of neuroid '5' to stimulus 3 is nan: expected a finite number; leave out "
            "such neuroids or stimuli");
  EXPECT_EQ(error_of([](auto&, auto& r, auto&) { r.values = Tensor(DType::kF32, {240}); }),
            "the responses have shape [240]: expected two axes, [stimuli, neuroids]");
  EXPECT_EQ(error_of([](auto&, auto& r, auto&) { r.subjects.pop_back(); }),
            "24 neuroids have 23 subjects: expected one per neuroid");
  EXPECT_EQ(error_of([](auto&, auto& r, auto&) {
              r.ceilings = {0.5, 0.5};
            }),
            "24 neuroids have 2 ceilings: expected one per neuroid");
  EXPECT_EQ(error_of([](auto&, auto& r, auto&) { r.ceilings = {0.0}; }),
            "the ceiling 0 of neuroid '0' is out of range: expected > 0; leave the neuroid out");
  EXPECT_EQ(error_of([](auto&, auto& r, auto&) {
              r.values = Tensor(DType::kF32, {240, 24});
            }),
            "no neuroid has a score: the responses of all 24 are constant in at least one fold; "
            "use fewer `folds` or other responses");
  EXPECT_EQ(error_of([](auto&, auto&, auto& o) { o.folds = 49; }),
            "48 groups cannot be held out in 49 folds: expected at most 48 `folds`, or a "
            "`fold_kind` of shuffled");
  EXPECT_EQ(error_of([](auto& s, auto&, auto&) { s.ids[4].clear(); }),
            "stimulus 5 has no tokens: expected at least one");
  EXPECT_EQ(error_of([](auto& s, auto&, auto&) { s.ids[4] = {61}; }),
            "the token of stimulus 5: 61 is out of range: expected 0..60");
  EXPECT_EQ(error_of([](auto& s, auto&, auto&) { s.groups.pop_back(); }),
            "240 stimuli have 239 groups: expected one per stimulus");
  EXPECT_EQ(
      error_of([](auto&, auto&, auto& o) { o.features.sites = {"blocks.1.attn.hook_pattern"}; }),
      "invalid site blocks.1.attn.hook_pattern, which is a map: expected a site with one row per "
      "token");
  EXPECT_EQ(error_of([](auto&, auto&, auto& o) { o.bootstraps = -1; }),
            "invalid number of bootstrap draws -1: expected 0..1000000");
}

}  // namespace
}  // namespace vitrine::testing
