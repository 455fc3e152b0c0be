// SPDX-License-Identifier: MIT
// What must not change a bit of a gradient: what is kept between the passes, what is watched, what
// else is in the batch, how many threads there are.

#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::odd_config;
using testing_support::same_bits;
using testing_support::tokens;

/// The gradients and the values of a sequence are the same bits.
void expect_same(const Backward& a, const Backward& b, int sequence_of_a = 0,
                 int sequence_of_b = 0) {
  EXPECT_EQ(a.values.at(static_cast<size_t>(sequence_of_a)),
            b.values.at(static_cast<size_t>(sequence_of_b)));
  EXPECT_FALSE(b.gradients->entries().empty());
  for (const Captures::Entry& entry : b.gradients->entries()) {
    EXPECT_TRUE(
        same_bits(a.gradient(entry.name, sequence_of_a), b.gradient(entry.name, sequence_of_b)))
        << entry.name;
  }
}

Target some_target() {
  return target::log_prob(17) - 0.5 * target::entropy(0) +
         target::norm("blocks.1.hook_resid_mid", -2);
}

class GradientPromises : public ::testing::TestWithParam<testing_support::Mode> {
 protected:
  Model model(int threads = 2, size_t memory_limit = 0) {
    ModelOptions options = GetParam().options();
    options.threads = threads;
    options.memory_limit = memory_limit;
    return Model::random(odd_config(), 7, testing_support::test_options(options));
  }
  /// Edits of several kinds in several places, some of which take a layer apart.
  static Hooks edits() {
    return Hooks()
        .edit("blocks.0.attn.hook_pattern", scale(0.5f), {.positions = {-1}, .heads = {1}})
        .edit("blocks.2.attn.hook_z", scale(2.0f), {.heads = {0, 2}})
        .edit("blocks.1.ln2.hook_scale", scale(1.25f))
        .edit("blocks.1.attn.hook_result", scale(0.5f), {.heads = {2}})
        .edit("blocks.2.mlp.hook_pre", add(Tensor::from(std::vector<float>{0.25f})),
              {.positions = {0}});
  }
};

TEST_P(GradientPromises, KeepingMoreOrLessGivesTheSameBits) {
  const Model m = model();
  const Batch batch = {tokens(37, 1), tokens(5, 2)};
  for (const Hooks& hooks :
       {Hooks().gradient("*"), edits().gradient("*"), Hooks().gradient("hook_embed")}) {
    const Backward all = backward(m, batch, {some_target()}, hooks, {.keep = KeepPolicy::kAll});
    const Backward residuals =
        backward(m, batch, {some_target()}, hooks, {.keep = KeepPolicy::kResiduals});
    const Backward automatic = backward(m, batch, {some_target()}, hooks);
    EXPECT_EQ(all.kept, KeepPolicy::kAll);
    EXPECT_EQ(residuals.kept, KeepPolicy::kResiduals);
    EXPECT_EQ(automatic.kept, KeepPolicy::kAll);
    EXPECT_EQ(automatic.groups, 1);
    EXPECT_LT(residuals.kept_bytes, all.kept_bytes);
    for (int s = 0; s < 2; ++s) {
      expect_same(residuals, all, s, s);
      expect_same(automatic, all, s, s);
    }
  }
}

// The sequences of a batch run one group after the other if they do not fit together; the
// numbers are the same.
TEST_P(GradientPromises, WhatDoesNotFitAtOnceRunsInPartsAndGivesTheSameBits) {
  const Model roomy = model();
  Batch batch;
  std::vector<Target> targets;
  for (int s = 0; s < 5; ++s) {
    batch.push_back(tokens(14 + s, s));
    targets.push_back(target::logit(s, s) + target::norm("blocks.1.hook_resid_mid", s));
  }
  const Hooks hooks = Hooks().gradient("hook_embed");
  const Backward together = backward(roomy, batch, targets, hooks);
  bool smaller = false, parts = false;
  for (const size_t more : {800'000, 600'000, 450'000, 350'000, 250'000, 180'000, 120'000}) {
    const Model tight = model(2, roomy.weight_bytes() + more);
    Backward got;
    try {
      got = backward(tight, batch, targets, hooks);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::kUser);
      break;  // not even one at a time
    }
    smaller |= got.kept == KeepPolicy::kResiduals;
    parts |= got.groups > 1;
    for (int s = 0; s < 5; ++s) expect_same(got, together, s, s);
  }
  EXPECT_TRUE(smaller);
  EXPECT_TRUE(parts);
}

TEST_P(GradientPromises, WatchingChangesNoGradientAndGradientsChangeNoCapture) {
  const Model m = model();
  const Batch batch = {tokens(37, 3)};
  for (const bool edited : {false, true}) {
    const Hooks base = edited ? edits() : Hooks();
    const Backward all = backward(m, batch, {some_target()}, Hooks(base).gradient("*"));
    const Backward watched =
        backward(m, batch, {some_target()}, Hooks(base).gradient("*").capture("*"),
                 {.logits = LogitRows::kAll});
    expect_same(watched, all);
    const vitrine::Run plain = m.forward(batch, Hooks(base).capture("*"));
    EXPECT_TRUE(same_bits(watched.run.logits(), plain.logits()));
    for (const Captures::Entry& entry : plain.captures().entries()) {
      EXPECT_TRUE(same_bits(watched.run[entry.name], plain[entry.name])) << entry.name;
    }
    // One site's gradient alone, where nothing above or below it is looked at.
    for (const Captures::Entry& entry : all.gradients->entries()) {
      expect_same(all, backward(m, batch, {some_target()}, Hooks(base).gradient(entry.name)));
    }
  }
}

// A target at a site reads all of the site as float32. What a capture keeps is no part of a
// target's definition.
TEST_P(GradientPromises, WatchingATargetsSiteChangesNothing) {
  const Model m = model();
  const Batch batch = {tokens(9, 3), tokens(6, 4)};
  const Target target = target::norm("blocks.1.attn.hook_z", 3);
  const auto run = [&](const Where& where, DType store = DType::kF32) {
    return backward(m, batch, {target},
                    Hooks().gradient("hook_embed").capture("blocks.*.attn.hook_z", where, store));
  };
  const Backward plain = backward(m, batch, {target}, Hooks().gradient("hook_embed")),
                 watched = run({});
  EXPECT_GT(plain.values[0], 0.0);
  for (int s = 0; s < 2; ++s) expect_same(watched, plain, s, s);
  for (int s = 0; s < 2; ++s)
    expect_same(run({.layers = {0, 2}, .heads = {1}}), plain, s, s);  // another layer's
  EXPECT_USER_ERROR(run({}, DType::kBF16), "blocks.1.attn.hook_z", "as bf16");
  EXPECT_USER_ERROR(run({.positions = {3}}), "blocks.1.attn.hook_z", "in part");
  EXPECT_USER_ERROR(run({.heads = {1}}), "blocks.1.attn.hook_z", "in part");
  EXPECT_USER_ERROR(run({.sequences = {1}}), "blocks.1.attn.hook_z", "in part");
}

TEST_P(GradientPromises, ASequenceIsTheSameAloneAsInABatch) {
  const Model m = model();
  const Batch batch = {tokens(5, 4), tokens(33, 5), tokens(1, 6), tokens(80, 7)};
  const std::vector<Target> targets = {
      target::logit(3), target::cross_entropy() + target::norm("blocks.2.mlp.hook_post"),
      target::prob(5, 0), target::log_prob(300, 79) - target::log_prob(2, 10)};
  for (const Hooks& hooks : {Hooks().gradient("*"), edits().gradient("*")}) {
    const Backward together = backward(m, batch, targets, hooks);
    const Backward alike = backward(m, batch, {target::logit(9)}, hooks);
    for (size_t s = 0; s < batch.size(); ++s) {
      expect_same(together, backward(m, {batch[s]}, {targets[s]}, hooks), static_cast<int>(s));
      expect_same(alike, backward(m, {batch[s]}, {target::logit(9)}, hooks), static_cast<int>(s));
    }
  }
}

TEST_P(GradientPromises, OnlyTheNamedSequencesAreEdited) {
  const Model m = model();
  const Batch batch = {tokens(9, 4), tokens(7, 5)};
  const Backward plain = backward(m, batch, {target::logit(3)}, Hooks().gradient("*"));
  const Backward edited = backward(
      m, batch, {target::logit(3)},
      Hooks().edit("blocks.*.mlp.hook_post", scale(0.5f), {.sequences = {1}}).gradient("*"));
  expect_same(edited, plain, 0, 0);
  EXPECT_FALSE(same_bits(edited.gradient("hook_embed", 1), plain.gradient("hook_embed", 1)));
}

TEST_P(GradientPromises, ThreadsAndRepetitionsDoNotChangeBits) {
  const Batch batch = {tokens(50, 9)};
  for (const Hooks& hooks : {Hooks().gradient("*"), edits().gradient("*")}) {
    const Backward one = backward(model(1), batch, {some_target()}, hooks);
    for (int threads : {2, 3, 5})
      expect_same(backward(model(threads), batch, {some_target()}, hooks), one);
    const Model m = model(1);
    for (int i = 0; i < 2; ++i) expect_same(backward(m, batch, {some_target()}, hooks), one);
  }
}

TEST_P(GradientPromises, NarrowedGradientsAreSlicesOfWholeOnes) {
  const Model m = model();
  const Batch batch = {tokens(19, 3)};
  const Backward whole = backward(m, batch, {some_target()}, Hooks().gradient("*"));
  const Backward slice =
      backward(m, batch, {some_target()},
               Hooks()
                   .gradient("blocks.1.attn.hook_z", {.positions = {-1, 4}, .heads = {2, 0}})
                   .gradient("blocks.2.attn.hook_pattern", {.positions = {7}, .heads = {1}})
                   .gradient("blocks.0.mlp.hook_pre", {.neurons = {99, 3}})
                   .gradient("blocks.0.hook_resid_mid", {.positions = {2}})
                   .gradient("hook_embed", {}, DType::kF16));
  const TensorView z = slice.gradient("blocks.1.attn.hook_z"),
                   pattern = slice.gradient("blocks.2.attn.hook_pattern");
  ASSERT_EQ(z.shape(), (Shape{2, 2, 20}));
  ASSERT_EQ(pattern.shape(), (Shape{1, 1, 19}));
  EXPECT_TRUE(
      same_bits(z.slice(0).slice(0), whole.gradient("blocks.1.attn.hook_z").slice(4).slice(0)));
  EXPECT_TRUE(
      same_bits(z.slice(1).slice(1), whole.gradient("blocks.1.attn.hook_z").slice(18).slice(2)));
  EXPECT_TRUE(same_bits(pattern.slice(0).slice(0),
                        whole.gradient("blocks.2.attn.hook_pattern").slice(1).slice(7)));
  EXPECT_TRUE(same_bits(slice.gradient("blocks.0.hook_resid_mid").slice(0),
                        whole.gradient("blocks.0.hook_resid_mid").slice(2)));
  EXPECT_EQ(slice.gradient("blocks.0.mlp.hook_pre").f32()[2 * 5 + 1],
            whole.gradient("blocks.0.mlp.hook_pre").slice(5).f32()[99]);
  EXPECT_EQ(slice.gradient("hook_embed").dtype(), DType::kF16);
}

// In a map, masked keys have no gradient; the computed values are unused.
TEST_P(GradientPromises, MaskedKeysHaveNone) {
  const Model m = model();
  for (const Hooks& hooks :
       {Hooks(), edits(), Hooks().edit("blocks.*.attn.hook_attn_scores", scale(0.5f))}) {
    const Backward got =
        backward(m, {tokens(21, 2)}, {target::logit(5)},
                 Hooks(hooks).gradient("blocks.*.attn.hook_{pattern,attn_scores}"));
    for (const Captures::Entry& entry : got.gradients->entries()) {
      const std::span<const float> map = got.gradient(entry.name).f32();
      for (size_t i = 0; i < map.size(); ++i) {
        if (i % 21 <= i / 21 % 21) continue;
        ASSERT_EQ(map[i], 0.0f) << entry.name << " at " << i;
      }
    }
  }
}

// Tokens after the target's position have no effect.
TEST_P(GradientPromises, TheFutureHasNoGradient) {
  const Model m = model();
  const Backward got =
      backward(m, {tokens(30, 2)}, {target::log_prob(5, 11)}, Hooks().gradient("*"));
  for (const Captures::Entry& entry : got.gradients->entries()) {
    if (site_info(entry.site).shape == SiteShape::kMap) continue;
    const TensorView gradient = got.gradient(entry.name);
    for (int64_t t = 12; t < 30; ++t) {
      for (const float g : gradient.slice(t).f32())
        ASSERT_EQ(g, 0.0f) << entry.name << " of token " << t;
    }
    bool moves = false;
    for (const float g : gradient.slice(11).f32()) moves |= g != 0.0f;
    EXPECT_TRUE(moves) << entry.name;
  }
}

// A target is what a forward pass says, to the bit; twice a target has twice the gradient, exactly.
TEST_P(GradientPromises, ValuesAreThoseOfTheForwardPassAndGradientsAreLinear) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(23, 8);
  const vitrine::Run run = m.forward(ids);
  const Backward once = backward(m, {ids}, {target::logit(40, 9)}, Hooks().gradient("*"));
  EXPECT_EQ(once.values.at(0), static_cast<double>(run.logits().slice(9).f32()[40]));
  if (GetParam().dtype == DType::kF16 && !testing_support::on_cpu())
    return;  // small gradients are below f16's normal numbers
  const Backward twice = backward(m, {ids}, {2.0 * target::logit(40, 9)}, Hooks().gradient("*"));
  EXPECT_EQ(twice.values.at(0), 2.0 * once.values.at(0));
  for (const Captures::Entry& entry : once.gradients->entries()) {
    std::vector<float> doubled = once.gradient(entry.name).to_f32();
    for (float& g : doubled) g *= 2.0f;
    EXPECT_EQ(twice.gradient(entry.name).to_f32(), doubled) << entry.name;
  }
}

// A callback sees a gradient as it saw the values: the same selection, the same names, each
// sequence of its own.
TEST_P(GradientPromises, AdjointsOfCallbacksSeeTheSelection) {
  const Model m = model();
  const Batch batch = {tokens(6, 15), tokens(9, 16)};
  std::vector<std::string> seen;
  const auto nothing = [](EditView&) {};
  const auto adjoint = [&](EditView& view) {
    EXPECT_EQ(view.name, "blocks.1.attn.hook_v");
    EXPECT_EQ(view.layer, 1);
    EXPECT_EQ(view.width, 20);
    EXPECT_EQ(std::vector<int64_t>(view.positions.begin(), view.positions.end()),
              (std::vector<int64_t>{1, view.sequence == 0 ? 4 : 7}));
    EXPECT_EQ(view.values.size(), 40u);
    seen.push_back(std::to_string(view.sequence));
    for (float& g : view.values) g *= 0.5f;
  };
  const Where where{.positions = {1, -2}, .heads = {1}};
  const Backward got = backward(
      m, batch, {target::logit(3)},
      Hooks().edit("blocks.1.attn.hook_v", callback(nothing, adjoint), where).gradient("*"));
  EXPECT_EQ(seen, (std::vector<std::string>{"0", "1"}));
  const Backward plain = backward(m, batch, {target::logit(3)}, Hooks().gradient("*"));
  for (int s = 0; s < 2; ++s)
    EXPECT_TRUE(same_bits(got.gradient("blocks.1.attn.hook_v", s),
                          plain.gradient("blocks.1.attn.hook_v", s)));
  EXPECT_FALSE(same_bits(got.gradient("hook_embed", 0), plain.gradient("hook_embed", 0)));
}

INSTANTIATE_TEST_SUITE_P(Storage, GradientPromises, ::testing::ValuesIn(testing_support::modes()),
                         [](const auto& mode) { return testing_support::mode_name(mode.param); });

}  // namespace
}  // namespace vitrine
