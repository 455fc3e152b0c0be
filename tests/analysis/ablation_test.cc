// SPDX-License-Identifier: MIT
#include "vitrine/analysis/ablation.h"

#include <gtest/gtest.h>

#include "support.h"
#include "tests/run_values.h"

namespace vitrine::testing {
using namespace internal;
namespace {

const PatchMetric kMetric{.answer = 5, .wrong = 17};

double metric_with(const Model& model, const std::vector<int32_t>& ids, const Hooks& edits) {
  return kMetric.of(
      testing_support::logits_of(model.forward(ids, edits, {.logits = LogitRows::kLast})).f32());
}

TEST(Ablation, IsTheEditByHand) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const Batch others = {some_ids(5, 2), some_ids(9, 3)};
  const auto run = model.forward(others, Hooks().capture("blocks.*.attn.hook_z"));
  const Ablations zeros = ablate(model, ids, {.metric = kMetric});
  const Ablations means =
      ablate(model, ids, {.ablation = Ablation::kMean, .metric = kMetric, .others = others});
  EXPECT_EQ(zeros.value, metric_with(model, ids, {}));
  for (size_t layer = 0; layer < 3; ++layer) {
    for (size_t head = 0; head < 2; ++head) {
      const std::string site = site_name(Site::kZ, static_cast<int>(layer));
      const Where where{.heads = {static_cast<int>(head)}};
      const Tensor mean = run.captures().mean(site);
      const size_t cell = zeros.grids[0].cell(layer, head);
      EXPECT_EQ(zeros.grids[0].values[cell],
                metric_with(model, ids, Hooks().edit(site, zero(), where)));
      EXPECT_EQ(means.grids[0].values[cell],
                metric_with(
                    model, ids,
                    Hooks().edit(site, mean_ablate(Tensor::from(mean.f32().subspan(head * 12, 12))),
                                 where)));
      EXPECT_EQ(zeros.grids[0].effects[cell], zeros.grids[0].values[cell] - zeros.value);
    }
  }
}

TEST(Ablation, EditsHoldInEveryRun) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const Hooks edits =
      Hooks().edit(Site::kResidPost, scale(0.5f), {.layers = {0}, .positions = {-1}});
  AblationOptions options{.metric = kMetric};
  options.edits = edits;
  const Ablations found = ablate(model, ids, options);
  EXPECT_EQ(found.value, metric_with(model, ids, edits));
  for (int layer = 0; layer < 3; ++layer) {
    Hooks with = edits;
    with.edit(Site::kZ, zero(), {.layers = {layer}, .heads = {1}});
    EXPECT_EQ(found.grids[0].values[found.grids[0].cell(static_cast<size_t>(layer), 1)],
              metric_with(model, ids, with));
  }
}

TEST(Ablation, OfMlpsAtSomePositions) {
  const Model model = small_model();
  const auto ids = some_ids(7), other = some_ids(7, 9);
  AblationOptions options{
      .metric = kMetric,
      .cells = {.sites = {Site::kMlpOut}, .over = PatchOver::kWhole, .positions = {1, -1}}};
  const Ablations zeros = ablate(model, ids, options);
  options.ablation = Ablation::kResample;
  options.others = {other};
  const Ablations resampled = ablate(model, ids, options);
  const auto source = model.forward(other, Hooks().capture("*")).shared_captures();
  for (size_t layer = 0; layer < 3; ++layer) {
    const std::string site = site_name(Site::kMlpOut, static_cast<int>(layer));
    EXPECT_EQ(zeros.grids[0].values[layer],
              metric_with(model, ids, Hooks().edit(site, zero(), {.positions = {1, 6}})));
    EXPECT_EQ(
        resampled.grids[0].values[layer],
        metric_with(model, ids, Hooks().edit(site, replace_from(source), {.positions = {1, 6}})));
  }
}

TEST(Ablation, OfPatterns) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Ablations found =
      ablate(model, ids,
             {.metric = kMetric, .cells = {.sites = {Site::kPattern}, .over = PatchOver::kHeads}});
  EXPECT_EQ(
      found.grids[0].values[3],
      metric_with(model, ids, Hooks().edit("blocks.1.attn.hook_pattern", zero(), {.heads = {1}})));
}

TEST(Ablation, OfItsOwnPromptChangesAndCostsNothing) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Ablations found =
      ablate(model, ids, {.ablation = Ablation::kResample, .metric = kMetric, .others = {ids}});
  for (const double effect : found.grids[0].effects) EXPECT_EQ(effect, 0.0);
  EXPECT_EQ(found.work.computed, 2 * 6 * 3);
  EXPECT_EQ(found.work.naive, (2 + 6) * 6 * 3);
}

TEST(Ablation, RefusesWhatMakesNoSense) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const auto refuse = [&](AblationOptions options) {
    options.metric = kMetric;
    return user_error_of([&] { ablate(model, ids, options); });
  };
  EXPECT_EQ(refuse({.ablation = Ablation::kMean}),
            "missing prompts for mean ablation: expected some");
  EXPECT_EQ(refuse({.ablation = Ablation::kResample}),
            "missing prompts for resample ablation: expected one");
  EXPECT_EQ(refuse({.ablation = Ablation::kResample, .others = {ids, ids}}),
            "resample ablation uses one other prompt: expected one, not 2");
  EXPECT_EQ(
      refuse({.ablation = Ablation::kResample, .others = {some_ids(4)}}),
      "the prompt has 6 tokens, the one to resample from 4: expected prompts of the same length");
  EXPECT_EQ(refuse({.others = {ids}}),
            "zero ablation does not use other prompts, but 1 are given; leave them out");
  EXPECT_EQ(
      refuse({.ablation = Ablation::kMean, .cells = {.sites = {Site::kPattern}}, .others = {ids}}),
      "cannot average 'blocks.0.attn.hook_pattern': expected a site with rows of one width, not a "
      "map");
  EXPECT_EQ(user_error_of([] { ablation_from_name("noise"); }),
            "unknown ablation 'noise': expected one of zero, mean, resample");
}

}  // namespace
}  // namespace vitrine::testing
