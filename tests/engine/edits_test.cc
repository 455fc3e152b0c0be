// SPDX-License-Identifier: MIT
// What edits do, shown by identities of the transformer that hold whatever the weights are.

#include <cmath>
#include <cstring>

#include "tests/engine/test_device.h"
#include "tests/run_values.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

Config small_config() {
  Config config;
  config.layers = 2;
  config.heads = 3;
  config.width = 24;
  config.inner = 40;
  config.vocab = 50;
  config.context = 32;
  return config;
}

const std::vector<int32_t> kIds = {3, 14, 15, 9, 26, 5, 35};
constexpr int64_t kTokens = 7, kWidth = 24, kHeadWidth = 8;

class Edits : public ::testing::Test {
 protected:
  vitrine::Run run(const Hooks& hooks) { return model_.forward(kIds, Hooks(hooks).capture("*")); }
  Model model_ = Model::random(small_config(), 11, testing_support::test_options({.threads = 1}));
};

std::vector<float> values(const Run& run, const std::string& site) { return run[site].to_f32(); }

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance,
                 const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << what << " at " << i;
}

Tensor ramp(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = 0.25f * static_cast<float>(i) - 1.0f;
  return Tensor::from(v);
}

TEST_F(Edits, TheResidualStreamIsTheSumOfWhatIsAddedToIt) {
  const vitrine::Run plain = run({});
  for (const auto& [before, branch, after] :
       {std::tuple{"hook_resid_pre", "hook_attn_out", "hook_resid_mid"},
        std::tuple{"hook_resid_mid", "hook_mlp_out", "hook_resid_post"}}) {
    for (const std::string block : {"blocks.0.", "blocks.1."}) {
      const auto a = values(plain, block + before), b = values(plain, block + branch),
                 sum = values(plain, block + after);
      for (size_t i = 0; i < sum.size(); ++i) ASSERT_EQ(a[i] + b[i], sum[i]) << block << after;
    }
  }
  const auto token = values(plain, "hook_embed"), position = values(plain, "hook_pos_embed"),
             pre = values(plain, "blocks.0.hook_resid_pre");
  for (size_t i = 0; i < pre.size(); ++i) ASSERT_EQ(token[i] + position[i], pre[i]);
  EXPECT_EQ(values(plain, "blocks.0.hook_resid_post"), values(plain, "blocks.1.hook_resid_pre"));
}

TEST_F(Edits, ZeroingEveryBranchLeavesTheEmbedding) {
  const vitrine::Run edited = run(Hooks().edit("blocks.*.hook_{attn,mlp}_out", zero()));
  EXPECT_EQ(values(edited, "blocks.1.hook_resid_post"), values(edited, "blocks.0.hook_resid_pre"));
}

TEST_F(Edits, AddScaleAndReplaceDoWhatTheySayToTheSelectionOnly) {
  const std::vector<float> before = values(run({}), "blocks.0.mlp.hook_post");
  const Where where{.positions = {1, -1}, .neurons = {4, 39}};
  const auto check = [&](const Edit& edit, const std::function<float(float, int, int)>& expected) {
    const std::vector<float> after =
        values(run(Hooks().edit("blocks.0.mlp.hook_post", edit, where)), "blocks.0.mlp.hook_post");
    for (int t = 0; t < kTokens; ++t) {
      for (int n = 0; n < 40; ++n) {
        const size_t i = static_cast<size_t>(t * 40 + n);
        const bool selected = (t == 1 || t == 6) && (n == 4 || n == 39);
        ASSERT_EQ(after[i],
                  selected ? expected(before[i], t == 1 ? 0 : 1, n == 4 ? 0 : 1) : before[i])
            << t << ", " << n;
      }
    }
  };
  const std::vector<float> row = {10, 20}, rows = {1, 2, 3, 4};
  check(add(Tensor::from(row)), [](float x, int, int n) { return x + (n == 0 ? 10.0f : 20.0f); });
  check(add(Tensor::from(rows)),
        [](float x, int p, int n) { return x + static_cast<float>(1 + 2 * p + n); });
  check(replace(Tensor::from(rows)),
        [](float, int p, int n) { return static_cast<float>(1 + 2 * p + n); });
  check(replace(Tensor::from(std::vector<float>{7})), [](float, int, int) { return 7.0f; });
  check(scale(-0.5f), [](float x, int, int) { return x * -0.5f; });
  check(zero(), [](float, int, int) { return 0.0f; });
}

TEST_F(Edits, ProjectingOutLeavesNothingAlongTheDirection) {
  const Tensor direction = ramp(kWidth);
  const std::vector<float> before = values(run({}), "blocks.1.hook_resid_pre");
  const std::vector<float> after =
      values(run(Hooks().edit("blocks.1.hook_resid_pre", project_out(direction))),
             "blocks.1.hook_resid_pre");
  for (int64_t t = 0; t < kTokens; ++t) {
    double dot = 0, length = 0, removed = 0, was = 0;
    for (int64_t d = 0; d < kWidth; ++d) {
      const double u = direction.f32()[static_cast<size_t>(d)];
      const size_t i = static_cast<size_t>(t * kWidth + d);
      dot += after[i] * u;
      was += before[i] * u;
      length += u * u;
    }
    EXPECT_NEAR(dot / std::sqrt(length), 0, 1e-5) << t;
    for (int64_t d = 0; d < kWidth; ++d) {
      const size_t i = static_cast<size_t>(t * kWidth + d);
      removed = std::max(removed, std::abs(before[i] - after[i] -
                                           was / length * direction.f32()[static_cast<size_t>(d)]));
    }
    EXPECT_LE(removed, 1e-5) << "only the component along the direction goes";
  }
}

TEST_F(Edits, ADirectionOfOneHeadGoesFromEachSelectedHead) {
  const Tensor direction = ramp(kHeadWidth);
  const std::vector<float> before = values(run({}), "blocks.0.attn.hook_z");
  const std::vector<float> after =
      values(run(Hooks().edit("blocks.0.attn.hook_z", project_out(direction), {.heads = {0, 2}})),
             "blocks.0.attn.hook_z");
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t h = 0; h < 3; ++h) {
      double dot = 0;
      for (int64_t k = 0; k < kHeadWidth; ++k) {
        const size_t i = static_cast<size_t>(t * kWidth + h * kHeadWidth + k);
        dot += after[i] * direction.f32()[static_cast<size_t>(k)];
        if (h == 1) {
          EXPECT_EQ(after[i], before[i]);
        }
      }
      if (h != 1) {
        EXPECT_NEAR(dot, 0, 1e-5);
      }
    }
  }
}

TEST_F(Edits, QueriesOfZeroGiveUniformAttention) {
  const vitrine::Run edited = run(Hooks().edit("blocks.0.attn.hook_q", zero(), {.heads = {1}}));
  const TensorView pattern = edited["blocks.0.attn.hook_pattern"].slice(1);
  // A GPU's power of two is off by up to two units in the last place, 1.2e-7 each of a value that
  // is at most 1/2 where it is not exact.
  constexpr double kTolerance = 2.5e-7;
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t key = 0; key < kTokens; ++key) {
      EXPECT_NEAR(pattern.slice(t).f32()[static_cast<size_t>(key)],
                  key <= t ? 1.0 / static_cast<double>(t + 1) : 0.0, kTolerance);
    }
  }
}

TEST_F(Edits, AShiftOfAllScoresLeavesThePatternAndNeverUnmasks) {
  const vitrine::Run plain = run({}),
                     edited = run(Hooks().edit("blocks.0.attn.hook_attn_scores",
                                               add(Tensor::from(std::vector<float>{3}))));
  expect_near(values(edited, "blocks.0.attn.hook_pattern"),
              values(plain, "blocks.0.attn.hook_pattern"), 2e-6f, "pattern");
  const TensorView scores = edited["blocks.0.attn.hook_attn_scores"];
  EXPECT_EQ(scores.slice(0).slice(0).f32()[0],
            plain["blocks.0.attn.hook_attn_scores"].slice(0).slice(0).f32()[0] + 3);
  EXPECT_EQ(scores.slice(2).slice(3).f32()[4], -std::numeric_limits<float>::infinity());
  // Even replaced by one number, scores see no future key.
  const vitrine::Run flat = run(Hooks().edit("blocks.0.attn.hook_attn_scores", zero()));
  EXPECT_NEAR(flat["blocks.0.attn.hook_pattern"].slice(0).slice(3).f32()[3], 0.25, 1e-7);
  EXPECT_EQ(flat["blocks.0.attn.hook_pattern"].slice(0).slice(3).f32()[4], 0);
  EXPECT_EQ(flat["blocks.0.attn.hook_attn_scores"].slice(0).slice(3).f32()[3], 0);
  EXPECT_EQ(flat["blocks.0.attn.hook_attn_scores"].slice(0).slice(3).f32()[4],
            -std::numeric_limits<float>::infinity());
  const vitrine::Run ones =
      run(Hooks().edit("blocks.0.attn.hook_pattern", replace(Tensor::from(std::vector<float>{1}))));
  EXPECT_EQ(ones["blocks.0.attn.hook_pattern"].slice(1).slice(2).f32()[2], 1);
  EXPECT_EQ(ones["blocks.0.attn.hook_pattern"].slice(1).slice(2).f32()[3], 0);
}

TEST_F(Edits, APatternOfZerosMixesNothing) {
  const vitrine::Run edited =
      run(Hooks().edit("blocks.1.attn.hook_pattern", zero(), {.positions = {2}, .heads = {0}}));
  const TensorView z = edited["blocks.1.attn.hook_z"];
  for (float x : z.slice(2).slice(0).f32()) EXPECT_EQ(x, 0);
  // The composed form of attention, which an edited map takes, rounds as the fused one does on the
  // CPU, and nearly so on a GPU.
  expect_near(
      z.slice(2).slice(1).to_f32(),
      testing_support::site_of(run({}), "blocks.1.attn.hook_z").view().slice(2).slice(1).to_f32(),
      testing_support::on_cpu() ? 0.0f : 1e-5f, "head 1");
}

TEST_F(Edits, AnotherRunsPatternsCanBeBorrowed) {
  const std::vector<int32_t> other = {8, 8, 1, 40, 2, 2, 7};
  const vitrine::Run donor =
      model_.forward(other, Hooks().capture("blocks.0.attn.hook_{pattern,attn_scores}"));
  for (const char* site : {"blocks.0.attn.hook_pattern", "blocks.0.attn.hook_attn_scores"}) {
    const vitrine::Run borrowed = run(Hooks().edit(site, replace_from(donor.shared_captures())));
    EXPECT_EQ(values(borrowed, "blocks.0.attn.hook_pattern"),
              values(donor, "blocks.0.attn.hook_pattern"))
        << site;
  }
}

TEST_F(Edits, PatchingTheLastResidualCarriesTheOtherRunsAnswer) {
  const std::vector<int32_t> other = {8, 8, 1, 40, 2, 2, 7};
  const vitrine::Run donor = model_.forward(other, Hooks().capture("blocks.1.hook_resid_post"));
  const vitrine::Run patched = run(Hooks().edit(
      "blocks.1.hook_resid_post", replace_from(donor.shared_captures()), {.positions = {-1}}));
  EXPECT_EQ(patched.logits().slice(6).to_f32(), donor.logits().slice(6).to_f32());
  EXPECT_EQ(patched.logits().slice(5).to_f32(),
            testing_support::logits_of(run({})).view().slice(5).to_f32());
}

TEST_F(Edits, DoublingTheScaleHalvesWhatIsNormalised) {
  const vitrine::Run plain = run({}),
                     edited = run(Hooks().edit("blocks.0.ln1.hook_scale", scale(2)));
  // normalized = x_hat * w + b, so (plain - b) = 2 (edited - b); b follows from a third run with
  // the scale made huge.
  const std::vector<float> bias = values(run(Hooks().edit("blocks.0.ln1.hook_scale", scale(1e20f))),
                                         "blocks.0.ln1.hook_normalized");
  const auto whole = values(plain, "blocks.0.ln1.hook_normalized"),
             half = values(edited, "blocks.0.ln1.hook_normalized");
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_EQ(bias[i], bias[i % kWidth]) << "nothing of the token remains under a huge scale";
    ASSERT_NEAR(whole[i] - bias[i], 2 * (half[i] - bias[i]), 1e-5) << i;
  }
}

TEST_F(Edits, HeadResultsAddUpToTheOutputOfAttention) {
  const vitrine::Run plain = run({});
  // The bias is what remains when z is zero.
  const std::vector<float> bias =
      values(run(Hooks().edit("blocks.0.attn.hook_z", zero())), "blocks.0.hook_attn_out");
  const auto results = values(plain, "blocks.0.attn.hook_result"),
             out = values(plain, "blocks.0.hook_attn_out");
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t d = 0; d < kWidth; ++d) {
      double sum = bias[t * kWidth + d];
      for (size_t h = 0; h < 3; ++h) sum += results[(t * 3 + h) * kWidth + d];
      ASSERT_NEAR(out[t * kWidth + d], sum, 1e-5);
    }
  }
  // Zeroing one head's result is zeroing its z.
  const vitrine::Run by_result =
      run(Hooks().edit("blocks.0.attn.hook_result", zero(), {.heads = {2}}));
  const vitrine::Run by_z = run(Hooks().edit("blocks.0.attn.hook_z", zero(), {.heads = {2}}));
  expect_near(values(by_result, "blocks.0.hook_attn_out"), values(by_z, "blocks.0.hook_attn_out"),
              1e-5f, "ablated head");
}

TEST_F(Edits, MeanAblationUsesTheGivenMean) {
  const vitrine::Run plain = run({});
  const Tensor mean = plain.captures().mean("blocks.0.attn.hook_z");
  ASSERT_EQ(mean.elements(), kWidth);
  double first = 0;
  for (int64_t t = 0; t < kTokens; ++t)
    first += plain["blocks.0.attn.hook_z"].f32()[static_cast<size_t>(t * kWidth)];
  EXPECT_NEAR(mean.f32()[0], first / kTokens, 1e-6);
  const vitrine::Run ablated = run(Hooks().edit("blocks.0.attn.hook_z", mean_ablate(mean)));
  const TensorView z = ablated["blocks.0.attn.hook_z"];
  for (int64_t t = 0; t < kTokens; ++t)
    EXPECT_EQ(std::memcmp(z.slice(t).data(), mean.data(), kWidth * 4), 0);
}

TEST_F(Edits, CallbacksSeeTheSelectionAndMayChangeIt) {
  std::vector<int64_t> positions;
  const auto halve = [&](EditView& view) {
    EXPECT_EQ(view.name, "blocks.1.attn.hook_v");
    EXPECT_EQ(view.layer, 1);
    EXPECT_EQ(view.sequence, 0);
    EXPECT_EQ(view.width, kHeadWidth);
    positions.assign(view.positions.begin(), view.positions.end());
    for (float& x : view.values) x *= 0.5f;
  };
  const Where where{.positions = {5, 0}, .heads = {1}};
  const vitrine::Run by_hand = run(Hooks().edit("blocks.1.attn.hook_v", callback(halve), where));
  const vitrine::Run by_kernel = run(Hooks().edit("blocks.1.attn.hook_v", scale(0.5f), where));
  EXPECT_EQ(positions, (std::vector<int64_t>{0, 5}));
  EXPECT_EQ(values(by_hand, "logits"), values(by_kernel, "logits"));
}

TEST_F(Edits, OrderIsThatOfAddition) {
  const Tensor one = Tensor::from(std::vector<float>{1});
  const vitrine::Run scale_first =
      run(Hooks().edit("hook_embed", scale(3)).edit("hook_embed", add(one)));
  const vitrine::Run add_first =
      run(Hooks().edit("hook_embed", add(one)).edit("hook_embed", scale(3)));
  const float x = testing_support::site_of(run({}), "hook_embed").f32()[0];
  EXPECT_EQ(scale_first["hook_embed"].f32()[0], x * 3 + 1);
  EXPECT_EQ(add_first["hook_embed"].f32()[0], (x + 1) * 3);
}

TEST_F(Edits, OnlyTheNamedSequencesOfABatchChange) {
  const Batch batch = {kIds, {1, 2, 3}};
  const Hooks hooks = Hooks().edit("blocks.0.hook_mlp_out", zero(), {.sequences = {1}});
  const vitrine::Run plain = model_.forward(batch), edited = model_.forward(batch, hooks);
  EXPECT_EQ(plain.logits(0).to_f32(), edited.logits(0).to_f32());
  EXPECT_NE(plain.logits(1).to_f32(), edited.logits(1).to_f32());
}

TEST_F(Edits, WhatTheOtherRunDoesNotHoldIsNamed) {
  const vitrine::Run donor = model_.forward(
      std::vector<int32_t>{1, 2, 3}, Hooks().capture("blocks.0.attn.hook_z", {.heads = {0}}));
  EXPECT_USER_ERROR(
      run(Hooks().edit("blocks.1.attn.hook_z", replace_from(donor.shared_captures()))),
      "blocks.1.attn.hook_z", "position 0");
  EXPECT_USER_ERROR(
      run(Hooks().edit("blocks.0.attn.hook_z", replace_from(donor.shared_captures()))), "8 values",
      "selects 24");
  EXPECT_USER_ERROR(run(Hooks().edit("blocks.0.attn.hook_z", replace_from(donor.shared_captures()),
                                     {.heads = {0}})),
                    "position 3");
  // Rows of a map are joined: fewer of its heads would be cut from the wrong ones.
  for (const char* site : {"blocks.0.attn.hook_pattern", "blocks.0.attn.hook_attn_scores"}) {
    const vitrine::Run whole = model_.forward(kIds, Hooks().capture(site));
    EXPECT_USER_ERROR(
        run(Hooks().edit(site, replace_from(whole.shared_captures()), {.heads = {2}})), "3 heads",
        site, "selects 1");
  }
}

}  // namespace
}  // namespace vitrine
