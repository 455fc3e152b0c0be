// SPDX-License-Identifier: MIT
// Gradients at every site, under every kind of edit and of every kind of target, against central
// differences of a whole model in double precision.

#include "tests/engine/gradients_support.h"
#include "tests/run_values.h"

namespace vitrine {
using namespace internal;
namespace {

using namespace testing_support;

/// Every kind of target that reads logits.
std::vector<Goal> goals_at_logits() {
  const auto vocab = static_cast<size_t>(gradient_config().vocab);
  std::vector<float> other(vocab);
  const Vec numbers = direction(vocab, 99);
  for (size_t v = 0; v < vocab; ++v) other[v] = static_cast<float>(numbers[v]);
  Vec log_other = reference::widen(other);
  const double lse = reference::log_sum_exp(log_other, gradient_config().vocab)[0];
  for (double& l : log_other) l -= lse;
  const Tensor tensor = Tensor::from(other);

  std::vector<Goal> goals = {
      logit_goal(),
      logits_goal("log_prob", target::log_prob(28, 2), 2, LogitTermKind::kLogProb, 28),
      logits_goal("prob", target::prob(0, -1), -1, LogitTermKind::kProb, 0),
      logits_goal("entropy", target::entropy(-2), -2, LogitTermKind::kEntropy, 0),
      logits_goal("kl", target::kl(tensor, -1), -1, LogitTermKind::kKl, 0, log_other),
      logits_goal("reverse_kl", target::reverse_kl(tensor, 3), 3, LogitTermKind::kReverseKl, 0,
                  log_other),
  };
  goals.push_back(
      {"logit_difference", target::logit_difference({1, 2, 4}, {3, 5}, -1), [](const Held& held) {
         const Vec l = row_of(held, "logits", -1, 5);
         return (l[1] + l[2] + l[4]) / 3 - (l[3] + l[5]) / 2;
       }});
  goals.push_back({"cross_entropy", target::cross_entropy(), [](const Held& held) {
                     const std::vector<int32_t> next = {14, 15, 9, 26};
                     double sum = 0.0;
                     for (int64_t t = 0; t < 4; ++t)
                       sum -= reference::logit_target(row_of(held, "logits", t, 5),
                                                      LogitTermKind::kLogProb,
                                                      next[static_cast<size_t>(t)], {});
                     return sum / 4;
                   }});
  const Goal first = goals[1], second = goals[3], third = goals[5];
  goals.push_back(
      {"a weighted sum",
       2.0 * first.target - 0.5 * second.target + (-3.0) * third.target + target::logit(1, 3),
       [=](const Held& held) {
         return 2.0 * first.value(held) - 0.5 * second.value(held) - 3.0 * third.value(held) +
                row_of(held, "logits", 3, 5)[1];
       }});
  return goals;
}

// The reference, so that what follows means something: it holds what the engine captures, edited or
// not.
TEST(Gradients, TheReferenceIsTheSameModel) {
  for (const bool variant : {false, true}) {
    Config config = gradient_config();
    config.tied_unembedding = !variant;
    config.unembedding_bias = variant;
    config.scale_attention_by_inverse_layer = variant;
    config.activation = variant ? "silu" : "gelu_new";
    const Scene scene(config, variant ? Activation::kSilu : Activation::kGeluTanh);
    const Held want = scene.run();
    const vitrine::Run run = scene.model().forward(scene.ids, Hooks().capture("*"));
    for (const Captures::Entry& entry : run.captures().entries()) {
      const std::vector<float> got = run[entry.name].to_f32();
      const Vec& expected = want.at(entry.name);
      ASSERT_EQ(got.size(), expected.size()) << entry.name;
      for (size_t i = 0; i < got.size(); ++i) {
        if (got[i] == expected[i]) continue;  // a masked score
        ASSERT_NEAR(got[i], expected[i], 5e-6 * (1.0 + std::abs(expected[i])))
            << entry.name << " at " << i;
      }
    }
    EXPECT_EQ(want.size(), run.captures().entries().size());
  }
}

TEST(Gradients, EveryElementOfEverySiteMovesTheTarget) {
  const Scene& scene = plain_scene();
  const Goal goal = logit_goal();
  const Held base = scene.run();
  const Backward got = scene.backward(goal);
  EXPECT_EQ(got.gradients->entries().size(), base.size());
  for (const Captures::Entry& entry : got.gradients->entries()) {
    const std::vector<float> gradient = got.gradient(entry.name).to_f32();
    const Vec all = direction_at(entry, gradient.size(), 1);
    double largest = 0.0;
    for (const float g : gradient) largest = std::max(largest, std::abs(static_cast<double>(g)));
    for (size_t i = 0; i < gradient.size(); ++i) {
      Vec one(gradient.size(), 0.0);
      one[i] = 1.0;
      const double want = all[i] == 0.0 ? 0.0 : scene.along(goal, base, entry.name, one);
      ASSERT_NEAR(gradient[i], want, gradient_tolerance() * largest + 1e-9)
          << entry.name << " at " << i;
    }
    EXPECT_EQ(got.gradient(entry.name).shape(),
              testing_support::site_of(
                  scene.model().forward(scene.ids, Hooks().capture(entry.name)), entry.name)
                  .shape());
  }
}

TEST(Gradients, EveryTargetAtLogits) {
  const Scene& scene = plain_scene();
  const Held base = scene.run();
  for (const Goal& goal : goals_at_logits())
    expect_gradients_agree(scene, goal, scene.backward(goal), base);
}

TEST(Gradients, EveryActivationAndConfiguration) {
  for (const auto& [name, activation] : {std::pair{"gelu_new", Activation::kGeluTanh},
                                         {"gelu", Activation::kGeluErf},
                                         {"quick_gelu", Activation::kGeluQuick},
                                         {"relu", Activation::kRelu},
                                         {"silu", Activation::kSilu},
                                         {"tanh", Activation::kTanh}}) {
    Config config = gradient_config();
    config.activation = name;
    config.tied_unembedding = activation != Activation::kSilu;
    config.unembedding_bias = activation == Activation::kTanh;
    config.scale_attention = activation != Activation::kRelu;
    config.scale_attention_by_inverse_layer =
        activation == Activation::kTanh || activation == Activation::kSilu;
    config.layer_norm_epsilon = activation == Activation::kGeluErf ? 1e-2f : 1e-5f;
    const Scene scene(config, activation);
    SCOPED_TRACE(name);
    expect_gradients_agree(scene, logit_goal(), scene.backward(logit_goal()), scene.run());
  }
}

// On a CPU 16-bit weights are the same arithmetic with other numbers; on a GPU gradients are
// rounded to the weights' type.
TEST(Gradients, WeightsOfSixteenBits) {
  for (const DType stored : {DType::kF16, DType::kBF16}) {
    const Scene scene(gradient_config(), Activation::kGeluTanh, stored);
    SCOPED_TRACE(std::string(dtype_name(stored)));
    expect_gradients_agree(scene, logit_goal(), scene.backward(logit_goal()), scene.run());
  }
}

TEST(Gradients, OneToken) {
  Scene scene = plain_scene();
  scene.ids = {8};
  const Goal goal = logit_goal(11, 0);
  expect_gradients_agree(scene, goal, scene.backward(goal), scene.run());
}

// --- targets at sites

Goal norm_goal(const std::string& site, int64_t position) {
  return {"norm of " + site, target::norm(site, position), [=](const Held& held) {
            double sum = 0.0;
            for (const double x : row_of(held, site, position, 5)) sum += x * x;
            return std::sqrt(sum);
          }};
}

Goal linear_goal(const std::string& site, int64_t position, size_t width) {
  const Vec weights = direction(width, 5);
  const std::vector<float> narrow(weights.begin(), weights.end());
  const Vec used = reference::widen(narrow);
  return {"a sum over " + site, target::linear(site, Tensor::from(narrow), position),
          [=](const Held& held) {
            const Vec row = row_of(held, site, position, 5);
            double sum = 0.0;
            for (size_t i = 0; i < row.size(); ++i) sum += used[i] * row[i];
            return sum;
          }};
}

/// The sites of the pass up to and with one of the last layer.
std::vector<std::string> sites_up_to(Site last) {
  std::vector<std::string> names;
  for (int layer = 0; layer < gradient_config().layers; ++layer) {
    for (const SiteInfo& info : kSites) {
      const bool before = info.site <= last && (info.per_layer || layer == 0);
      const bool in_first_layer = layer == 0 && info.per_layer && last > Site::kPosEmbed;
      if (before || in_first_layer) names.push_back(site_name(info.site, layer));
    }
  }
  return names;
}

TEST(Gradients, TargetsAtSites) {
  const Scene& scene = plain_scene();
  const Held base = scene.run();
  const Config config = scene.config();
  for (const SiteInfo& info : kSites) {
    if (info.shape == SiteShape::kMap) continue;
    const std::string site = site_name(info.site, info.per_layer ? 1 : 0);
    const auto width = static_cast<size_t>(site_width(info.shape, config));
    for (const Goal& goal : {norm_goal(site, -1), linear_goal(site, 3, width)}) {
      expect_gradients_agree(scene, goal, scene.backward(goal, sites_up_to(info.site)), base);
    }
  }
}

// Of a map, a row is a query's: [H, keys].
TEST(Gradients, LinearTargetsAtMaps) {
  const Scene& scene = plain_scene();
  const Held base = scene.run();
  for (const Site map : {Site::kAttnScores, Site::kPattern}) {
    const std::string site = site_name(map, 1);
    for (const int64_t query : {2, 4}) {
      const Vec weights = direction(3 * 5, 6);
      const std::vector<float> narrow(weights.begin(), weights.end());
      const Goal goal{site, target::linear(site, Tensor::from(narrow, {3, 5}), query),
                      [=](const Held& held) {
                        double sum = 0.0;
                        for (int64_t h = 0; h < 3; ++h) {
                          for (int64_t k = 0; k <= query; ++k)
                            sum += static_cast<double>(narrow[static_cast<size_t>(h * 5 + k)]) *
                                   held.at(site)[static_cast<size_t>((h * 5 + query) * 5 + k)];
                        }
                        return sum;
                      }};
      expect_gradients_agree(scene, goal, scene.backward(goal, sites_up_to(map)), base);
    }
  }
}

// Targets at several places, of sites in different layers and of logits: gradients are linear in
// them.
TEST(Gradients, TargetsAtSeveralPlacesAddUp) {
  const Scene& scene = plain_scene();
  const Held base = scene.run();
  const Goal norm = norm_goal("blocks.0.hook_resid_mid", 1),
             linear = linear_goal("blocks.1.mlp.hook_post", 2, 22), logit = logit_goal(3, 0);
  const Goal embed = linear_goal("hook_embed", 2, 15), position = norm_goal("hook_pos_embed", 4);
  const Goal all{"a sum",
                 2.0 * norm.target + (-1.5) * linear.target + 0.25 * logit.target + embed.target -
                     position.target,
                 [=](const Held& held) {
                   return 2.0 * norm.value(held) - 1.5 * linear.value(held) +
                          0.25 * logit.value(held) + embed.value(held) - position.value(held);
                 }};
  expect_gradients_agree(scene, all, scene.backward(all), base);
}

// --- what is taken for constant

TEST(Gradients, FrozenPatternsAndScales) {
  for (const auto& [patterns, scales] : {std::pair{true, false}, {false, true}, {true, true}}) {
    Scene scene = plain_scene();
    scene.linearised = {.patterns = patterns, .scales = scales};
    const Held base = scene.run();
    for (const Goal& goal : {logit_goal(), goals_at_logits()[3]}) {
      SCOPED_TRACE(::testing::Message() << "patterns " << patterns << ", scales " << scales);
      expect_gradients_agree(scene, goal, scene.backward(goal, sites_under(scene.linearised)),
                             base);
    }
  }
}

}  // namespace
}  // namespace vitrine
