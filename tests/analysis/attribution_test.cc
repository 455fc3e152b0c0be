// SPDX-License-Identifier: MIT
#include "vitrine/analysis/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support.h"
#include "vitrine/gradients.h"

namespace vitrine::testing {
using namespace internal;
namespace {

TEST(LogitAttribution, AddsUpToTheLogit) {
  // Some hundred float32 contributions of about 1, each rounded by 1e-7 of itself and of the stream
  // that it was added to.
  constexpr double kSumTolerance = 2e-5;
  Config config = small_model().config();
  config.unembedding_bias = true;  // a constant, as the final layernorm's bias
  const Model model = Model::random(config, 5, {.threads = 2});
  const auto ids = some_ids(7);
  const auto run = model.forward(ids);
  for (const int64_t position : {0, 3, -1}) {
    const auto logits = run.logits().slice(position < 0 ? position + 7 : position).f32();
    const LogitAttribution one = logit_attribution(model, ids, {.target = 5, .position = position});
    EXPECT_NEAR(one.logit, logits[5], kSumTolerance);
    EXPECT_NEAR(one.gap(), 0.0, kSumTolerance);
    const LogitAttribution two =
        logit_attribution(model, ids, {.target = 5, .against = 17, .position = position});
    EXPECT_NEAR(two.logit, logits[5] - logits[17], kSumTolerance);
    EXPECT_NEAR(two.gap(), 0.0, kSumTolerance);
    EXPECT_EQ(two.position, position < 0 ? position + 7 : position);
  }
}

TEST(LogitAttribution, AHeadsPartIsWhatItsRemovalTakesFromTheStream) {
  // Without a head's output in the last block, and with the final scale held, the logit falls by
  // just that head's part.
  const Model model = small_model();
  const auto ids = some_ids(7);
  const LogitAttribution found = logit_attribution(model, ids, {.target = 5});
  const auto base =
      model.forward(ids, Hooks().capture("ln_final.hook_scale").capture("blocks.2.hook_mlp_out"));
  for (int head = 0; head < 2; ++head) {
    const auto without =
        model.forward(ids, Hooks()
                               .edit("blocks.2.attn.hook_z", zero(), {.heads = {head}})
                               .edit("blocks.2.hook_mlp_out", replace_from(base.shared_captures()))
                               .edit("ln_final.hook_scale", replace_from(base.shared_captures())));
    EXPECT_NEAR(base.logits().slice(6).f32()[5] - without.logits().slice(6).f32()[5],
                found.head[4 + static_cast<size_t>(head)], 1e-5);
  }
}

TEST(LogitAttribution, AddsUpUnderEdits) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  std::vector<float> direction(24);
  for (size_t i = 0; i < direction.size(); ++i) direction[i] = 0.1f * static_cast<float>(i % 5);
  AttributionOptions options{.target = {5, 9}, .against = {17}};
  options.edits.edit(Site::kZ, scale(2.0f), {.layers = {0}})
      .edit(Site::kLnFinalNormalized, scale(1.5f));
  const LogitAttribution heads = logit_attribution(model, ids, options);
  EXPECT_NEAR(heads.edits, 0, 2e-5) << "each counts with its component";
  options.edits.edit(Site::kResidPost, add(Tensor::from(direction)),
                     {.layers = {1}, .positions = {-1}});
  const LogitAttribution found = logit_attribution(model, ids, options);
  const auto logits = model.forward(ids, options.edits, {.logits = LogitRows::kLast});
  const auto at = [&](size_t id) { return static_cast<double>(logits.logits().f32()[id]); };
  EXPECT_NEAR(found.logit, (at(5) + at(9)) / 2 - at(17), 2e-5);
  EXPECT_NEAR(found.gap(), 0, 2e-5);
  // What was added is in the stream to the end.
  const Backward back =
      backward(model, {ids}, {target::logit_difference({5, 9}, {17})},
               Hooks(options.edits).gradient(Site::kResidPost, {.layers = {2}, .positions = {-1}}),
               {.linearised = {.scales = true}});
  double expected = 0;
  for (size_t i = 0; i < direction.size(); ++i)
    expected += static_cast<double>(direction[i]) *
                static_cast<double>(back.gradient(Site::kResidPost, 2).f32()[i]);
  EXPECT_NEAR(found.edits, expected, 2e-5);
  EXPECT_GT(std::abs(expected), 1e-3);
}

TEST(LogitAttribution, ExplainsTheModelsChoiceByDefault) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const vitrine::Run run = model.forward(ids);
  const auto logits = run.logits().slice(6).f32();
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  EXPECT_EQ(logit_attribution(model, ids).target, AnswerTokens(static_cast<int32_t>(best)));
}

TEST(LogitAttribution, NeuronsArePartsOfTheirMlp) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const LogitAttribution all = logit_attribution(model, ids, {.target = 5, .neurons = 3 * 40});
  ASSERT_EQ(all.neurons.size(), 120u);
  std::vector<double> sums = all.mlp_bias;
  for (const auto& neuron : all.neurons)
    sums[static_cast<size_t>(neuron.layer)] += neuron.contribution;
  for (size_t layer = 0; layer < 3; ++layer) EXPECT_NEAR(sums[layer], all.mlp[layer], 1e-12);
  const LogitAttribution some = logit_attribution(model, ids, {.target = 5, .neurons = 4});
  ASSERT_EQ(some.neurons.size(), 4u);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(some.neurons[i].contribution, all.neurons[i].contribution);
  EXPECT_TRUE(logit_attribution(model, ids, {.target = 5}).neurons.empty());
}

TEST(LogitAttribution, RefusesWhatIsNotThere) {
  const Model model = small_model();
  const auto ids = some_ids(4);
  EXPECT_EQ(user_error_of([&] { logit_attribution(model, {}); }),
            "the text is empty: expected at least one token");
  EXPECT_EQ(user_error_of([&] { logit_attribution(model, ids, {.target = 61}); }),
            "the target 61 is out of range: expected 0..60");
  EXPECT_EQ(user_error_of([&] { logit_attribution(model, ids, {.against = -2}); }),
            "the token to compare with -2 is out of range: expected 0..60");
  EXPECT_EQ(user_error_of([&] { logit_attribution(model, ids, {.target = 3, .against = 3}); }),
            "the target and the subtracted token are both 3: expected different tokens");
  EXPECT_EQ(user_error_of([&] { logit_attribution(model, ids, {.position = 4}); }),
            "position 4 is out of range: expected 0..3, the positions of the text");
  EXPECT_EQ(user_error_of([&] { logit_attribution(model, ids, {.neurons = -1}); }),
            "invalid number of neurons -1: expected 0 (none) or more");
}

}  // namespace
}  // namespace vitrine::testing
