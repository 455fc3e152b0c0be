// SPDX-License-Identifier: MIT
// What holds for every method, and what the methods that read gradients must give where the answer
// is known.

#include "vitrine/analysis/saliency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/saliency/quadrature.h"
#include "analysis/saliency/smooth_noise.h"
#include "support.h"
#include "tests/run_values.h"
#include "vitrine/gradients.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr SaliencyMethod kAll[] = {
    SaliencyMethod::kGradXInput, SaliencyMethod::kGradientNorm,
    SaliencyMethod::kSmoothGrad, SaliencyMethod::kIntegratedGradients,
    SaliencyMethod::kOcclusion,  SaliencyMethod::kSpanOcclusion};

/// Few samples of everything.
SaliencyOptions quick(SaliencyMethod method) {
  SaliencyOptions options;
  options.method = method;
  options.integrated.steps = 5;
  options.smooth.samples = 3;
  options.spans.draws = 4;
  return options;
}

std::vector<double> row(const std::vector<double>& values, const Saliency& found, size_t step) {
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(found.cell(step, 0));
  return {begin, begin + found.steps[step].inputs};
}

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double largest(const std::vector<double>& values) {
  double size = 0;
  for (const double x : values) size = std::max(size, std::abs(x));
  return size;
}

/// A model whose weights are large enough that attention is far from uniform and logits spread over
/// some 20 nats.
Model lively_model() { return Model::load(golden_folder("plain").string(), {.threads = 1}); }

/// Of logits, in that model: float32 activations, as tests/analysis/golden_test.cc has it. Small in
/// the small model.
constexpr double kLogitRounding = 2e-5;

TEST(Saliency, SharesAddUpToOne) {
  const Model model = small_model();
  for (const SaliencyMethod method : kAll) {
    SCOPED_TRACE(saliency_method_name(method));
    SaliencyOptions options = quick(method);
    options.continuation = {3, 17, 60};
    const Saliency found = saliency(model, some_ids(4), options);
    ASSERT_EQ(found.steps.size(), 3u);
    ASSERT_EQ(found.ids.size(), 6u) << "the last token is not read";
    for (size_t step = 0; step < 3; ++step) {
      EXPECT_EQ(found.steps[step].inputs, static_cast<int64_t>(4 + step));
      EXPECT_EQ(found.steps[step].target, options.continuation[step]);
      EXPECT_NEAR(sum(row(found.shares, found, step)), 1.0, 1e-12);
      for (const double share : row(found.shares, found, step)) EXPECT_GE(share, 0);
      for (size_t i = 4 + step; i < 6; ++i) EXPECT_EQ(found.shares[found.cell(step, i)], 0);
    }
    EXPECT_GT(largest(found.scores), 0);
  }
}

TEST(Saliency, StepsSayWhatTheModelSays) {
  const Model model = small_model();
  const auto prompt = some_ids(5);
  SaliencyOptions options = quick(SaliencyMethod::kOcclusion);
  options.continuation = {3, 17};
  options.value = SaliencyValue::kProb;
  options.contrast = 9;
  const Saliency found = saliency(model, prompt, options);
  std::vector<int32_t> text = prompt;
  for (size_t step = 0; step < 2; ++step) {
    const auto run = model.forward(text, {}, {.logits = LogitRows::kLast});
    const std::span<const float> logits = run.logits().f32();
    const auto token = static_cast<size_t>(options.continuation[step]);
    double total = 0;
    for (const float x : logits) total += std::exp(static_cast<double>(x));
    EXPECT_NEAR(found.steps[step].logit, logits[token], kLogitRounding);
    EXPECT_NEAR(found.steps[step].log_prob, logits[token] - std::log(total), kLogitRounding);
    EXPECT_NEAR(found.steps[step].value, (std::exp(logits[token]) - std::exp(logits[9])) / total,
                kLogitRounding);
    EXPECT_EQ(found.steps[step].rank, 1 + std::count_if(logits.begin(), logits.end(), [&](float x) {
                                        return x > logits[token];
                                      }));
    text.push_back(options.continuation[step]);
  }
}

TEST(Saliency, WithoutATargetTheModelChooses) {
  const Model model = small_model();
  const Saliency found = saliency(model, some_ids(5), quick(SaliencyMethod::kOcclusion));
  ASSERT_EQ(found.steps.size(), 1u);
  EXPECT_EQ(found.steps[0].rank, 1);
  EXPECT_EQ(found.steps[0].target,
            generate(model, {some_ids(5)}, {.max_new_tokens = 1}).sequences[0].ids[0]);
}

TEST(Saliency, DoesNotDependOnWhatRunsTogether) {
  const Model model = small_model();
  for (const SaliencyMethod method : kAll) {
    SCOPED_TRACE(saliency_method_name(method));
    SaliencyOptions options = quick(method);
    options.continuation = {3, 17, 60};
    options.batch_tokens = 1;
    const Saliency alone = saliency(model, some_ids(4), options);
    for (const int64_t tokens : {7, 30, 100000}) {
      options.batch_tokens = tokens;
      const Saliency batched = saliency(model, some_ids(4), options);
      EXPECT_EQ(alone.scores, batched.scores) << "to the bit";
      EXPECT_EQ(alone.shares, batched.shares);
    }
    // A step on its own: its input is the prompt.
    auto prompt = some_ids(4);
    prompt.insert(prompt.end(), {3, 17});
    options.continuation.clear();
    options.target = 60;
    const Saliency last = saliency(model, prompt, options);
    EXPECT_EQ(last.scores, row(alone.scores, alone, 2));
    EXPECT_EQ(last.steps[0].value, alone.steps[2].value);
  }
}

TEST(Saliency, AGenerationsStepsAreThoseOfItsText) {
  const Model model = small_model();
  SaliencyOptions options = quick(SaliencyMethod::kGradXInput);
  options.generate = GenerateOptions{.max_new_tokens = 4};
  const Saliency generated = saliency(model, some_ids(3), options);
  ASSERT_EQ(generated.steps.size(), 4u);
  for (const SaliencyStep& step : generated.steps) {
    EXPECT_EQ(step.rank, 1) << "greedy";
    options.continuation.push_back(step.target);
  }
  options.generate.reset();
  const Saliency forced = saliency(model, some_ids(3), options);
  EXPECT_EQ(generated.ids, forced.ids);
  EXPECT_EQ(generated.scores, forced.scores);
  // The context ends a generation: its last token may exceed it.
  options.continuation.clear();
  options.generate = GenerateOptions{.max_new_tokens = 100};
  options.generate->past_context = PastContext::kEnd;
  EXPECT_EQ(saliency(model, some_ids(10), options).steps.size(), 3u);
}

TEST(Saliency, ContrastIsTheDifferenceOfTheTwo) {
  const Model model = lively_model();
  for (const SaliencyMethod method : kAll) {
    if (method == SaliencyMethod::kGradientNorm) continue;  // lengths do not add
    for (const SaliencyValue value :
         {SaliencyValue::kLogit, SaliencyValue::kLogProb, SaliencyValue::kProb}) {
      SCOPED_TRACE(std::string(saliency_method_name(method)) + " of " +
                   std::string(saliency_value_name(value)));
      SaliencyOptions options = quick(method);
      options.value = value;
      options.target = 3;
      const Saliency one = saliency(model, some_ids(6), options);
      options.target = 17;
      const Saliency other = saliency(model, some_ids(6), options);
      options.target = 3;
      options.contrast = 17;
      const Saliency difference = saliency(model, some_ids(6), options);
      EXPECT_NEAR(difference.steps[0].value, one.steps[0].value - other.steps[0].value,
                  kLogitRounding);
      const double tolerance = kLogitRounding * std::max(1.0, largest(one.scores));
      for (size_t i = 0; i < 6; ++i)
        EXPECT_NEAR(difference.scores[i], one.scores[i] - other.scores[i], tolerance)
            << "token " << i;
    }
  }
}

// A contrast text is a contrast token of its own at each step, after the same input.
TEST(Saliency, AContrastTextIsAlignedStepByStep) {
  const Model model = lively_model();
  for (const SaliencyMethod method : kAll) {
    SCOPED_TRACE(saliency_method_name(method));
    SaliencyOptions options = quick(method);
    options.value = SaliencyValue::kLogProb;
    options.continuation = {3, 17, 60};
    options.contrast_text = {8, 3, 8};
    for (const int64_t tokens : {1, 100000}) {
      options.batch_tokens = tokens;
      const Saliency found = saliency(model, some_ids(4), options);
      std::vector<int32_t> input = some_ids(4);
      for (size_t step = 0; step < 3; ++step) {
        SaliencyOptions alone = quick(method);
        alone.value = SaliencyValue::kLogProb;
        alone.target = options.continuation[step];
        alone.contrast = options.contrast_text[step];
        const Saliency one = saliency(model, input, alone);
        EXPECT_EQ(found.contrast_of(step), options.contrast_text[step]);
        EXPECT_EQ(found.steps[step].value, one.steps[0].value);
        EXPECT_EQ(row(found.scores, found, step), one.scores) << "step " << step;
        input.push_back(options.continuation[step]);
      }
    }
  }
}

TEST(Saliency, AContrastTextOfAnotherLengthIsRefused) {
  const Model model = small_model();
  const auto refused = [&](const SaliencyOptions& options) {
    return user_error_of([&] { saliency(model, some_ids(3), options); });
  };
  EXPECT_EQ(refused({.contrast_text = {4, 5}, .continuation = {1, 2, 3}}),
            "`contrast_text` has 2 tokens and the continuation 3: expected one for each token; "
            "change one of the two");
  EXPECT_EQ(refused({.contrast_text = {4, 5, 6}, .generate = GenerateOptions{.max_new_tokens = 2}}),
            "`contrast_text` has 3 tokens and the generated text 2: expected one for each token; "
            "change one of the two");
  EXPECT_EQ(refused({.contrast = 4, .contrast_text = {4}}),
            "both `contrast` and `contrast_text`: expected at most one");
  EXPECT_EQ(refused({.contrast_text = {61}, .continuation = {1}}),
            "the contrast text's token id 61 is out of range: expected 0..60");
}

/// Edits under which logits are linear in the embeddings: constant scales and patterns, no MLP.
/// Half of every position's value reaches every later one.
Hooks linear_edits() {
  const auto number = [](float x) { return replace(Tensor::from({&x, 1})); };
  Hooks edits;
  edits.edit("blocks.*.ln{1,2}.hook_scale", number(0.7f)).edit("ln_final.hook_scale", number(1.3f));
  edits.edit("blocks.*.attn.hook_pattern", number(0.5f)).edit("blocks.*.hook_mlp_out", zero());
  return edits;
}

/// f when the embedding at a position is replaced, from a plain pass.
double logit_with(const Model& model, const std::vector<int32_t>& ids, int32_t target,
                  int64_t position, Tensor embedding) {
  Hooks hooks = linear_edits();
  hooks.edit("hook_embed", replace(std::move(embedding)), {.positions = {position}});
  return static_cast<double>(
      testing_support::logits_of(model.forward(ids, hooks, {.logits = LogitRows::kLast}))
          .f32()[static_cast<size_t>(target)]);
}

TEST(Saliency, ALinearModelHasKnownAnswers) {
  const Model model = lively_model();
  const auto ids = some_ids(7);
  const Tensor nothing(DType::kF32, {32}), other = model.embed(std::vector<int32_t>{11});
  const double whole = static_cast<double>(
      testing_support::logits_of(model.forward(ids, linear_edits(), {.logits = LogitRows::kLast}))
          .f32()[20]);
  std::vector<double> from_zero, from_other;
  for (int64_t i = 0; i < 7; ++i) {
    from_zero.push_back(whole - logit_with(model, ids, 20, i, nothing));
    from_other.push_back(whole - logit_with(model, ids, 20, i, other));
  }
  const double tolerance = kLogitRounding * std::max(1.0, largest(from_zero));
  ASSERT_GT(largest(from_zero), 1000 * tolerance) << "the toy says nothing";

  SaliencyOptions options;
  options.target = 20;
  options.edits = linear_edits();
  const auto expect_scores = [&](SaliencyMethod method, const std::vector<double>& wanted) {
    options.method = method;
    const Saliency found = saliency(model, ids, options);
    for (size_t i = 0; i < 7; ++i)
      EXPECT_NEAR(found.scores[i], wanted[i], tolerance)
          << saliency_method_name(method) << ", token " << i;
    return found;
  };
  expect_scores(SaliencyMethod::kGradXInput, from_zero);
  options.smooth.noise = 0.5;  // a constant gradient does not mind
  expect_scores(SaliencyMethod::kSmoothGrad, from_zero);
  options.mask = {.kind = Replacement::Kind::kZero};
  expect_scores(SaliencyMethod::kOcclusion, from_zero);
  options.mask = {.kind = Replacement::Kind::kToken, .token = 11};
  expect_scores(SaliencyMethod::kOcclusion, from_other);
  for (const Quadrature rule : {Quadrature::kGaussLegendre, Quadrature::kTrapezoid,
                                Quadrature::kLeft, Quadrature::kRight}) {
    options.integrated = {.rule = rule, .steps = 2};
    EXPECT_NEAR(
        expect_scores(SaliencyMethod::kIntegratedGradients, from_zero).steps[0].completeness->gap,
        0, tolerance);
    options.integrated.baseline = {.kind = Replacement::Kind::kToken, .token = 11};
    EXPECT_NEAR(
        expect_scores(SaliencyMethod::kIntegratedGradients, from_other).steps[0].completeness->gap,
        0, tolerance);
  }
}

TEST(Saliency, IntegratedGradientsAddUp) {
  const Model model = lively_model();
  for (const Replacement& baseline : {Replacement{}, Replacement{.kind = Replacement::Kind::kMean},
                                      Replacement{.kind = Replacement::Kind::kToken, .token = 5}}) {
    SaliencyOptions options;
    options.method = SaliencyMethod::kIntegratedGradients;
    options.integrated.baseline = baseline;
    options.continuation = {3, 17, 60};
    const Saliency found = saliency(model, some_ids(6), options);
    for (size_t step = 0; step < 3; ++step) {
      const Completeness& completeness = *found.steps[step].completeness;
      EXPECT_LT(completeness.relative_gap, 1e-3);
      EXPECT_NEAR(completeness.gap,
                  std::abs(sum(row(found.scores, found, step)) -
                           (found.steps[step].value - completeness.baseline_value)),
                  1e-12);
    }
  }
}

TEST(Saliency, TheBaselineItselfHasNothingToExplain) {
  const Model model = small_model();
  const auto ids = some_ids(5);
  SaliencyOptions options = quick(SaliencyMethod::kIntegratedGradients);
  options.integrated.baseline = {.kind = Replacement::Kind::kTensor, .tensor = model.embed(ids)};
  const Saliency found = saliency(model, ids, options);
  EXPECT_EQ(largest(found.scores), 0);
  EXPECT_EQ(largest(found.shares), 0) << "no share of nothing";
  EXPECT_EQ(found.steps[0].completeness->gap, 0);
  EXPECT_EQ(found.steps[0].completeness->relative_gap, 0);
}

TEST(Saliency, NoiseComesFromTheSeed) {
  const Model model = lively_model();
  SaliencyOptions options = quick(SaliencyMethod::kSmoothGrad);
  options.target = 3;
  const auto run = [&](uint64_t seed, double noise, bool times_input = true) {
    options.smooth = {.samples = 4, .noise = noise, .seed = seed, .times_input = times_input};
    return saliency(model, some_ids(6), options);
  };
  EXPECT_EQ(run(1, 0.1).scores, run(1, 0.1).scores);
  EXPECT_NE(run(1, 0.1).scores, run(2, 0.1).scores);
  EXPECT_NE(run(1, 0.1).scores, run(1, 0.2).scores);
  const Saliency still = run(1, 0.0), plain = saliency(model, some_ids(6), {.target = 3});
  const Saliency still_norm = run(1, 0.0, false),
                 norm = saliency(model, some_ids(6),
                                 {.method = SaliencyMethod::kGradientNorm, .target = 3});
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(still.scores[i], plain.scores[i], 1e-12) << "no noise: the mean of equal gradients";
    EXPECT_NEAR(still_norm.scores[i], norm.scores[i], 1e-12);
  }
}

TEST(Saliency, NoiseIsGaussianAndAsLargeAsAskedFor) {
  constexpr size_t kCount = 200000;
  const SmoothGradOptions options{.noise = 0.25, .seed = 3};
  std::vector<std::vector<double>> samples(2);
  for (size_t sample = 0; sample < 2; ++sample) {
    std::vector<double> values(kCount, 0.0);
    values[0] = -1.5, values[1] = 2.5;  // a spread of 4, so a deviation of 1
    add_noise(options, sample, values);
    samples[sample].assign(values.begin() + 2, values.end());
  }
  double mean = 0, variance = 0, fourth = 0, product = 0;
  for (size_t i = 0; i < samples[0].size(); ++i) {
    const double x = samples[0][i];
    mean += x / kCount, variance += x * x / kCount, fourth += x * x * x * x / kCount,
        product += x * samples[1][i] / kCount;
  }
  // Five standard errors: 1, sqrt(2), sqrt(96) and 1 over sqrt(200000).
  EXPECT_NEAR(mean, 0, 0.012);
  EXPECT_NEAR(variance, 1, 0.016);
  EXPECT_NEAR(fourth, 3, 0.11);
  EXPECT_NEAR(product, 0, 0.012) << "samples are independent";
}

TEST(Saliency, SmoothGradIsTheGradientAtNoisyInputs) {
  const Model model = lively_model();
  const auto ids = some_ids(6);
  const SmoothGradOptions smooth{.samples = 2, .noise = 0.1, .seed = 9};
  const std::vector<float> clean = model.embed(ids).view().to_f32();
  std::vector<double> wanted(6, 0.0);
  for (size_t sample = 0; sample < 2; ++sample) {
    std::vector<double> noisy(clean.begin(), clean.end());
    add_noise(smooth, sample, noisy);
    Hooks hooks;
    hooks
        .edit("hook_embed", replace(Tensor::from(std::vector<float>(noisy.begin(), noisy.end()))),
              {.positions = {0, 1, 2, 3, 4, 5}})
        .gradient("hook_embed");
    const Backward found = backward(model, {ids}, {target::logit(3)}, hooks);
    const auto gradient = found.gradient("hook_embed").to_f32();
    for (size_t i = 0; i < gradient.size(); ++i)
      wanted[i / 32] += static_cast<double>(gradient[i]) * static_cast<double>(clean[i]) / 2;
  }
  const Saliency found =
      saliency(model, ids, {.method = SaliencyMethod::kSmoothGrad, .target = 3, .smooth = smooth});
  for (size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(found.scores[i], wanted[i], 1e-9) << "the same gradients, summed in another order";
}

TEST(Saliency, EditsAreSeen) {
  const Model model = small_model();
  for (const SaliencyMethod method : kAll) {
    SaliencyOptions options = quick(method);
    options.target = 3;
    const Saliency plain = saliency(model, some_ids(6), options);
    options.edits.edit("blocks.1.hook_mlp_out", zero());
    const Saliency edited = saliency(model, some_ids(6), options);
    EXPECT_NE(plain.scores, edited.scores) << saliency_method_name(method);
    EXPECT_NE(plain.steps[0].value, edited.steps[0].value);
  }
}

TEST(Quadrature, IntegratesWhatItShould) {
  const auto integral = [](const std::vector<QuadraturePoint>& points, int power) {
    double total = 0;
    for (const auto& [point, weight] : points) total += weight * std::pow(point, power);
    return total;
  };
  for (const int n : {1, 2, 5, 50, 301}) {
    const auto exact = quadrature_points(Quadrature::kGaussLegendre, n);
    for (int power = 0; power < 2 * n; ++power)
      EXPECT_NEAR(integral(exact, power), 1.0 / (power + 1), 1e-13);
    EXPECT_NEAR(integral(quadrature_points(Quadrature::kLeft, n), 1), 0.5 - 0.5 / n, 1e-13);
    EXPECT_NEAR(integral(quadrature_points(Quadrature::kRight, n), 1), 0.5 + 0.5 / n, 1e-13);
  }
  EXPECT_NEAR(integral(quadrature_points(Quadrature::kTrapezoid, 2), 1), 0.5, 1e-15);
  EXPECT_NEAR(integral(quadrature_points(Quadrature::kTrapezoid, 11), 2), 1.0 / 3 + 1.0 / 600,
              1e-13)
      << "1/3 + h^2 / 6";
  // Abramowitz & Stegun, table 25.4, n = 5, moved to [0, 1].
  const auto points = quadrature_points(Quadrature::kGaussLegendre, 5);
  EXPECT_NEAR(points[4].point, (1 + 0.906179845938664) / 2, 1e-15);
  EXPECT_NEAR(points[4].weight, 0.236926885056189 / 2, 1e-15);
  EXPECT_NEAR(points[2].weight, 0.568888888888889 / 2, 1e-15);
}

TEST(Saliency, NamesGoThereAndBack) {
  for (const SaliencyMethod method : kAll)
    EXPECT_EQ(saliency_method_from_name(saliency_method_name(method)), method);
  for (const SaliencyValue value :
       {SaliencyValue::kLogit, SaliencyValue::kLogProb, SaliencyValue::kProb}) {
    EXPECT_EQ(saliency_value_from_name(saliency_value_name(value)), value);
  }
  for (const Quadrature rule : {Quadrature::kGaussLegendre, Quadrature::kTrapezoid,
                                Quadrature::kLeft, Quadrature::kRight}) {
    EXPECT_EQ(quadrature_from_name(quadrature_name(rule)), rule);
  }
  EXPECT_EQ(user_error_of([] { saliency_method_from_name("lime"); }),
            "unknown saliency method 'lime': expected grad-x-input, gradient-norm, smooth-grad, "
            "integrated-gradients, occlusion or span-occlusion");
  EXPECT_EQ(user_error_of([] { saliency_value_from_name("loss"); }),
            "unknown target value 'loss': expected logit, log-prob or prob");
  EXPECT_EQ(user_error_of([] { quadrature_from_name("simpson"); }),
            "unknown quadrature 'simpson': expected gauss-legendre, trapezoid, left or right");
}

TEST(Saliency, RefusesWhatCannotBe) {
  const Model model = small_model();
  const auto refused = [&](const std::vector<int32_t>& prompt, const SaliencyOptions& options) {
    return user_error_of([&] { saliency(model, prompt, options); });
  };
  const auto ids = some_ids(5);
  EXPECT_EQ(refused({}, {}), "the prompt is empty: expected at least one token");
  EXPECT_EQ(refused(some_ids(13), {}),
            "the prompt has 13 tokens: expected at most 12, the model's context; shorten it");
  EXPECT_EQ(refused({1, 61}, {}), "the prompt's token id 61 is out of range: expected 0..60");
  EXPECT_EQ(refused(ids, {.target = 61}), "the target 61 is out of range: expected 0..60");
  EXPECT_EQ(refused(ids, {.contrast = -1}), "the contrast -1 is out of range: expected 0..60");
  EXPECT_EQ(refused(ids, {.continuation = {1, 99}}),
            "the continuation's token id 99 is out of range: expected 0..60");
  EXPECT_EQ(refused(ids, {.continuation = some_ids(9)}),
            "the prompt's 5 tokens and the continuation's 9 exceed the model's context of 12, "
            "which only the last token may exceed; shorten one of them");
  EXPECT_EQ(refused(ids, {.target = 1, .continuation = {2}}),
            "more than one of target, continuation and generation: expected at most one");
  EXPECT_EQ(refused(ids, {.generate = GenerateOptions{.max_new_tokens = 0}}),
            "invalid generation of 0 tokens: expected 1 or more");
  EXPECT_EQ(refused(ids, {.batch_tokens = 0}),
            "batch_tokens 0 is out of range: expected at least 1");
  const auto integrated = [&](IntegratedGradientsOptions options) {
    return refused(
        ids, {.method = SaliencyMethod::kIntegratedGradients, .integrated = std::move(options)});
  };
  EXPECT_EQ(
      integrated({.steps = 0}),
      "invalid number of steps 0 of integrated gradients with gauss-legendre: expected 1..10000");
  EXPECT_EQ(integrated({.rule = Quadrature::kTrapezoid, .steps = 1}),
            "invalid number of steps 1 of integrated gradients with trapezoid: expected 2..10000");
  EXPECT_EQ(integrated({.steps = 10001}),
            "invalid number of steps 10001 of integrated gradients with gauss-legendre: expected "
            "1..10000");
  EXPECT_EQ(integrated({.baseline = {.kind = Replacement::Kind::kDelete}}),
            "invalid baseline: deletion is not supported; use zero, mean, a token or a tensor");
  EXPECT_EQ(integrated({.baseline = {.kind = Replacement::Kind::kToken, .token = 61}}),
            "the baseline token 61 is out of range: expected 0..60");
  EXPECT_EQ(integrated({.baseline = {.kind = Replacement::Kind::kTensor}}),
            "the baseline is no tensor: expected [24], or [5, 24] with one row per input token");
  EXPECT_EQ(integrated({.baseline = {.kind = Replacement::Kind::kTensor,
                                     .tensor = Tensor(DType::kF32, {4, 24})}}),
            "the baseline is [4, 24]: expected [24], or [5, 24] with one row per input token");
  EXPECT_NE(integrated({.baseline = {.kind = Replacement::Kind::kTensor,
                                     .tensor = Tensor(DType::kF16, {24})}})
                .find("f16"),
            std::string::npos);
  const auto smooth = [&](SmoothGradOptions options) {
    return refused(ids, {.method = SaliencyMethod::kSmoothGrad, .smooth = options});
  };
  EXPECT_EQ(smooth({.samples = 0}), "invalid number of SmoothGrad samples 0: expected 1..1000000");
  EXPECT_EQ(smooth({.noise = -1}),
            "SmoothGrad noise -1 is out of range: expected 0 or more, such as 0.1");
  EXPECT_NE(smooth({.noise = std::nan("")}).find("SmoothGrad noise nan is out of range"),
            std::string::npos);
  SaliencyOptions edited;
  edited.edits.edit("hook_embed", scale(2));
  EXPECT_EQ(refused(ids, edited),
            "the edit of 'hook_embed' changes hook_embed, which saliency varies: edit "
            "hook_pos_embed or blocks.0.hook_resid_pre");
  edited.edits = Hooks().edit("logits", scale(2));
  EXPECT_EQ(refused(ids, edited),
            "the edit of 'logits' changes logits, which saliency does not read: edit "
            "ln_final.hook_normalized");
  edited.edits = Hooks().edit("blocks.0.hook_mlp_out", scale(2), {.sequences = {0}});
  EXPECT_EQ(refused(ids, edited),
            "invalid selection of sequences in the edit of 'blocks.0.hook_mlp_out': not supported "
            "for saliency");
}

}  // namespace
}  // namespace vitrine::testing
