// SPDX-License-Identifier: MIT
#include "vitrine/analysis/choices.h"

#include <cmath>

#include "tests/analysis/support.h"
#include "tests/support.h"

namespace vitrine::testing {
namespace {

/// log p of one token after others, by a pass over all of them.
double of_one_pass(const Model& model, const std::vector<int32_t>& before, int32_t next,
                   const Hooks& edits) {
  const vitrine::Run run = model.forward(before, edits);
  const std::vector<float> logits = run.logits().slice(std::ssize(before) - 1).to_f32();
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  return static_cast<double>(logits[static_cast<size_t>(next)]) - std::log(sum);
}

TEST(Choices, ScoresAreThoseOfOnePassOverPromptAndChoice) {
  const Model model = small_model();
  const std::vector<int32_t> prompt = {4, 8, 15};
  // The longest fills the context: its last token is read by no pass.
  const Batch choices = {{16}, {23, 4, 2}, {16, 23}, some_ids(10)};
  for (const Hooks& edits : {Hooks(), Hooks().edit("blocks.0.hook_mlp_out", zero()),
                             Hooks().edit("logits", scale(0.5f))}) {
    const std::vector<ChoiceScore> found = score_choices(model, prompt, choices, edits);
    ASSERT_EQ(found.size(), choices.size());
    for (size_t i = 0; i < choices.size(); ++i) {
      std::vector<int32_t> before = prompt;
      double sum = 0;
      ASSERT_EQ(found[i].log_probabilities.size(), choices[i].size());
      for (size_t t = 0; t < choices[i].size(); ++t) {
        const double wanted = of_one_pass(model, before, choices[i][t], edits);
        EXPECT_NEAR(found[i].log_probabilities[t], wanted, 1e-5) << i << ", " << t;
        sum += wanted;
        before.push_back(choices[i][t]);
      }
      EXPECT_NEAR(found[i].log_probability(), sum, 1e-5);
    }
  }
}

TEST(Choices, AnEditAtAPositionActsInAChoiceToo) {
  const Model model = small_model();
  const std::vector<int32_t> prompt = {4, 8, 15};
  const Hooks edits = Hooks().edit("blocks.1.hook_resid_post", zero(), {.positions = {4}});
  const ChoiceScore found = score_choices(model, prompt, {{23, 4, 2}}, edits)[0];
  EXPECT_NEAR(found.log_probabilities[1], of_one_pass(model, {4, 8, 15, 23}, 4, {}), 1e-5);
  EXPECT_NEAR(found.log_probabilities[2], of_one_pass(model, {4, 8, 15, 23, 4}, 2, edits), 1e-5);
}

TEST(Choices, RejectsWhatCannotBeScored) {
  const Model model = small_model();
  EXPECT_USER_ERROR(score_choices(model, std::vector<int32_t>{1}, {}), "missing choice");
  EXPECT_USER_ERROR(score_choices(model, std::vector<int32_t>{1}, {{2}, {}}), "choice 1 is empty");
  EXPECT_USER_ERROR(score_choices(model, std::vector<int32_t>{}, {{2}}), "empty");
  EXPECT_USER_ERROR(score_choices(model, std::vector<int32_t>{1}, {{2, 61}}), "61");
  EXPECT_USER_ERROR(score_choices(model, some_ids(4), {some_ids(10)}), "14 tokens", "at most 13");
}

}  // namespace
}  // namespace vitrine::testing
