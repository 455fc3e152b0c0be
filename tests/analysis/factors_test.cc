// SPDX-License-Identifier: MIT
#include "vitrine/analysis/factors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/json.h"
#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// What is factorised, made without the library: [tokens][neurons].
std::vector<std::vector<double>> positive_neurons(const Model& model, const Batch& texts,
                                                  const std::vector<int>& layers) {
  std::vector<std::vector<double>> x;
  for (const auto& text : texts) {
    const Run run = model.forward(text, Hooks().capture("blocks.*.mlp.hook_post"));
    for (size_t t = 0; t < text.size(); ++t) {
      x.emplace_back();
      for (const int layer : layers) {
        for (const float v :
             run[site_name(Site::kMlpPost, layer)].slice(static_cast<int64_t>(t)).f32())
          x.back().push_back(std::max(v, 0.0f));
      }
    }
  }
  return x;
}

/// ||X - W^T H|| / ||X||, and the gradients' largest violation of the conditions of a minimum, as a
/// part of the largest gradient that there is where either factor is 0. By the definitions.
struct Fit {
  double residual = 0, violation = 0;
};
Fit fit_of(const std::vector<std::vector<double>>& x, const Factors& f) {
  const size_t tokens = x.size(), neurons = x[0].size(), count = static_cast<size_t>(f.components);
  std::vector<double> of_strengths(count * tokens), of_neurons(count * neurons);
  std::vector<double> at_no_strengths(count * tokens), at_no_neurons(count * neurons);
  double rest = 0, whole = 0;
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t n = 0; n < neurons; ++n) {
      double error = -x[t][n];
      for (size_t c = 0; c < count; ++c)
        error += f.strengths[c * tokens + t] * f.neurons[c * neurons + n];
      rest += error * error;
      whole += x[t][n] * x[t][n];
      for (size_t c = 0; c < count; ++c) {
        of_strengths[c * tokens + t] += error * f.neurons[c * neurons + n];
        of_neurons[c * neurons + n] += error * f.strengths[c * tokens + t];
        at_no_strengths[c * tokens + t] += x[t][n] * f.neurons[c * neurons + n];
        at_no_neurons[c * neurons + n] += x[t][n] * f.strengths[c * tokens + t];
      }
    }
  }
  Fit fit{.residual = std::sqrt(rest / whole)};
  const auto check = [&](const std::vector<double>& values, const std::vector<double>& gradients,
                         const std::vector<double>& scale) {
    const double largest = *std::max_element(scale.begin(), scale.end());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_GE(values[i], 0);
      fit.violation = std::max(fit.violation,
                               (values[i] > 0 ? std::abs(gradients[i]) : -gradients[i]) / largest);
    }
  };
  check(f.strengths, of_strengths, at_no_strengths);
  check(f.neurons, of_neurons, at_no_neurons);
  return fit;
}

TEST(Factors, AreAsGoodAsScikitLearns) {
  const Json golden = read_json(std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" /
                                "goldens" / "factors.json");
  const Model model = Model::load(golden_folder("plain").string(), {.threads = 1});
  const auto texts = golden["texts"].get<Batch>();
  const auto x = positive_neurons(model, texts, {0, 1, 2});
  for (const Json& wanted : golden["cases"]) {
    SCOPED_TRACE(wanted.dump());
    FactorOptions options{.components = wanted["components"],
                          .init = factor_init_from_name(wanted["init"].get<std::string>())};
    options.max_iterations = 5000;
    options.tolerance = 1e-5;
    const Factors found = factors(model, texts, options);
    const Fit fit = fit_of(x, found);
    EXPECT_NEAR(found.relative_residual, fit.residual, 1e-9);
    EXPECT_LT(found.relative_residual, 1.01 * wanted["worst"].get<double>());
    EXPECT_TRUE(found.converged) << found.iterations;
    // The sum of all violations has fallen to 1e-5 of where it was.
    EXPECT_LT(fit.violation, 1e-3);
    if (options.components == 1) {
      EXPECT_NEAR(found.relative_residual, wanted["best"].get<double>(), 1e-6)
          << "one minimum alone";
    }
  }
}

TEST(Factors, ASingleTokenIsItsOwnComponent) {
  const Model model = small_model();
  for (const FactorInit init : {FactorInit::kRandom, FactorInit::kNndsvd}) {
    const Factors found =
        factors(model, {{7}}, {.components = 1, .layers = {1}, .init = init, .tolerance = 1e-12});
    const auto x = positive_neurons(model, {{7}}, {1});
    double length = 0;
    for (const double v : x[0]) length += v * v;
    length = std::sqrt(length);
    EXPECT_NEAR(found.strengths[0], length, 1e-9);
    for (size_t n = 0; n < x[0].size(); ++n) EXPECT_NEAR(found.neurons[n], x[0][n] / length, 1e-9);
    EXPECT_LT(found.relative_residual, 1e-9);
    EXPECT_EQ(found.top_neurons(0, 1)[0],
              std::max_element(x[0].begin(), x[0].end()) - x[0].begin());
  }
}

TEST(Factors, AreArrangedAndRepeatable) {
  const Model model = small_model();
  const Batch texts = {some_ids(9, 1), some_ids(6, 2)};
  const FactorOptions options{.components = 4, .layers = {0, -1}, .seed = 3, .batch_tokens = 4};
  const Factors found = factors(model, texts, options);
  EXPECT_EQ(found.layers, (std::vector<int>{0, 2}));
  EXPECT_EQ(found.tokens, 15);
  EXPECT_EQ(found.width(), 80);
  EXPECT_NEAR(fit_of(positive_neurons(model, texts, {0, 2}), found).residual,
              found.relative_residual, 1e-9);
  double before = std::numeric_limits<double>::infinity();
  for (size_t c = 0; c < 4; ++c) {
    double size = 0, length = 0;
    for (const double s : found.strengths_of(c)) size += s * s;
    for (size_t n = 0; n < 80; ++n) length += found.neurons[c * 80 + n] * found.neurons[c * 80 + n];
    EXPECT_LE(size, before);
    EXPECT_NEAR(length, 1, 1e-12);
    before = size;
    const auto top = found.top_neurons(c, 80);
    for (size_t i = 1; i < top.size(); ++i)
      EXPECT_GE(found.neurons[c * 80 + static_cast<size_t>(top[i - 1])],
                found.neurons[c * 80 + static_cast<size_t>(top[i])]);
  }
  FactorOptions other = options;
  other.batch_tokens = 512;
  EXPECT_EQ(factors(model, texts, other).strengths, found.strengths);
  other.seed = 4;
  EXPECT_NE(factors(model, texts, other).strengths, found.strengths);
}

TEST(Factors, SayWhenTheyAreNotDone) {
  const Factors found =
      factors(small_model(), {some_ids(12)}, {.components = 5, .max_iterations = 2});
  EXPECT_EQ(found.iterations, 2);
  EXPECT_FALSE(found.converged);
}

TEST(Factors, RefuseWhatHasNoFactors) {
  const Model model = small_model();
  const auto refuse = [&](const Batch& texts, const FactorOptions& options) {
    return user_error_of([&] { factors(model, texts, options); });
  };
  EXPECT_EQ(refuse({}, {}), "missing prompts to factorise: expected at least one");
  EXPECT_EQ(refuse({some_ids(4)}, {.components = 5}),
            "5 components are out of range: expected 1..4, the smaller number of 4 tokens and 120 "
            "neurons");
  EXPECT_EQ(refuse({some_ids(4)}, {.components = 0}),
            "0 components are out of range: expected 1..4, the smaller number of 4 tokens and 120 "
            "neurons");
  EXPECT_EQ(refuse({some_ids(4)}, {.components = 1, .layers = {3}}),
            "layer 3 is out of range: expected 0..2, the blocks of the model");
  FactorOptions options{.components = 2};
  options.edits.edit("blocks.*.mlp.hook_post", zero());
  EXPECT_EQ(refuse({some_ids(4)}, options),
            "no neuron of these layers is positive at any token: expected positive activations");
  options.edits = Hooks().edit("blocks.1.mlp.hook_post", callback([](EditView& view) {
                                 view.values[7] = std::numeric_limits<float>::quiet_NaN();
                               }));
  EXPECT_EQ(refuse({some_ids(4)}, options),
            "the factorisation of prompt 0 at 'blocks.1.mlp.hook_post' is not finite: "
            "blocks.1.mlp.hook_post is NaN at position 0 (element 7), the first such value of the "
            "run; check the edits and the weights");
  EXPECT_EQ(user_error_of([] { factor_init_from_name("nndsvda"); }),
            "unknown start 'nndsvda': expected random or nndsvd");
}

TEST(Factors, OfAGenerationAreThoseOfItsText) {
  const Model model = small_model();
  const GenerateOptions generation{.max_new_tokens = 4};
  Hooks edits;
  edits.edit("blocks.0.hook_mlp_out", scale(3));
  const Factors found =
      factors(model, {{1, 2, 3}, {4}}, {.components = 2, .generate = generation, .edits = edits});
  const Generation made = generate(model, {{1, 2, 3}, {4}}, generation, edits);
  Batch whole = {{1, 2, 3}, {4}};
  for (size_t t = 0; t < 2; ++t)
    whole[t].insert(whole[t].end(), made.sequences[t].ids.begin(), made.sequences[t].ids.end());
  EXPECT_EQ(found.texts, whole);
  EXPECT_EQ(found.prompt_tokens, (std::vector<int64_t>{3, 1}));
  const Factors alone = factors(model, whole, {.components = 2, .edits = edits});
  EXPECT_EQ(found.strengths, alone.strengths);
  EXPECT_EQ(found.neurons, alone.neurons);
  EXPECT_TRUE(alone.prompt_tokens.empty());
  // The token that a full context predicts is one that no pass can read.
  const int64_t context = model.config().context;
  GenerateOptions to_the_end = generation;
  to_the_end.past_context = PastContext::kEnd;
  const Factors full = factors(model, {some_ids(static_cast<size_t>(context))},
                               {.components = 2, .generate = to_the_end});
  EXPECT_EQ(full.tokens, context);
}

}  // namespace
}  // namespace vitrine::testing
