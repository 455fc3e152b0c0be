// SPDX-License-Identifier: MIT
// Saliency against tools/make_saliency_goldens.py: transformers and torch in double precision,
// Ecco's formula, Captum.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "support.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine::testing {
using namespace internal;
namespace {

Replacement replacement_from(const Json& json) {
  const std::string kind = json["kind"];
  if (kind == "zero") return {.kind = Replacement::Kind::kZero};
  if (kind == "mean") return {.kind = Replacement::Kind::kMean};
  if (kind == "delete") return {.kind = Replacement::Kind::kDelete};
  if (kind == "token") return {.kind = Replacement::Kind::kToken, .token = json["token"]};
  std::vector<float> values;
  const Json& rows = json["tensor"];
  if (!rows[0].is_array())
    return {.kind = Replacement::Kind::kTensor,
            .tensor = Tensor::from(rows.get<std::vector<float>>())};
  for (const Json& row : rows) {
    for (const Json& x : row) values.push_back(x);
  }
  const auto count = static_cast<int64_t>(rows.size());
  return {.kind = Replacement::Kind::kTensor,
          .tensor = Tensor::from(values, {count, static_cast<int64_t>(values.size()) / count})};
}

SaliencyOptions options_from(const Json& json) {
  SaliencyOptions options;
  options.method = saliency_method_from_name(json["method"].get<std::string>());
  options.value = saliency_value_from_name(json["value"].get<std::string>());
  if (!json["target"].is_null()) options.target = json["target"].get<int32_t>();
  if (!json["contrast"].is_null()) options.contrast = json["contrast"].get<int32_t>();
  options.continuation = json["continuation"].get<std::vector<int32_t>>();
  if (json.contains("rule")) {
    options.integrated = {.rule = quadrature_from_name(json["rule"].get<std::string>()),
                          .steps = json["steps"],
                          .baseline = replacement_from(json["baseline"])};
  }
  if (json.contains("mask")) options.mask = replacement_from(json["mask"]);
  return options;
}

double largest_score(const std::vector<double>& values) {
  double size = 0;
  for (const double x : values) size = std::max(size, std::abs(x));
  return size;
}

void expect_step(const Saliency& found, size_t step, const Json& want) {
  SCOPED_TRACE("step " + std::to_string(step));
  // float32 activations whose logits spread over some 20 nats; a probability has that as a relative
  // error.
  constexpr double kNats = 2e-5;
  const SaliencyStep& got = found.steps[step];
  const double scale = found.value == SaliencyValue::kProb ? std::exp(got.log_prob) : 1.0;
  EXPECT_EQ(got.inputs, want["inputs"].get<int64_t>());
  EXPECT_EQ(got.target, want["target"].get<int32_t>());
  EXPECT_EQ(got.rank, want["rank"].get<int32_t>());
  EXPECT_NEAR(got.logit, want["logit"].get<double>(), kNats);
  EXPECT_NEAR(got.log_prob, want["log_prob"].get<double>(), kNats);
  EXPECT_NEAR(got.value, want["value"].get<double>(), kNats * (found.contrast ? 1.0 : scale));

  const auto scores = want["scores"].get<std::vector<double>>(),
             shares = want["shares"].get<std::vector<double>>();
  // Gradients are as exact as the activations of their pass, relative to the step's largest_score;
  // differences of f as f itself is.
  const double tolerance =
      found.method == SaliencyMethod::kOcclusion ? 2 * kNats : 5e-5 * largest_score(scores);
  const double share_tolerance =
      found.method == SaliencyMethod::kOcclusion ? tolerance / largest_score(scores) : 5e-5;
  ASSERT_EQ(static_cast<size_t>(got.inputs), scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_NEAR(found.scores[found.cell(step, i)], scores[i], tolerance) << "token " << i;
    EXPECT_NEAR(found.shares[found.cell(step, i)], shares[i], share_tolerance) << "token " << i;
  }
  for (size_t i = scores.size(); i < found.ids.size(); ++i)
    EXPECT_EQ(found.scores[found.cell(step, i)], 0) << "after the input";
  ASSERT_EQ(got.completeness.has_value(), want.contains("gap"));
  if (!got.completeness) return;
  EXPECT_NEAR(got.completeness->baseline_value, want["baseline_value"].get<double>(), kNats);
  EXPECT_NEAR(got.completeness->gap, want["gap"].get<double>(),
              2 * kNats + 5e-5 * largest_score(scores));
}

class SaliencyGoldens : public ::testing::TestWithParam<const char*> {};

TEST_P(SaliencyGoldens, EveryCase) {
  const Json golden = read_json(std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" /
                                "goldens" / ("saliency_" + std::string(GetParam()) + ".json"));
  const Model model = Model::load(golden_folder(GetParam()).string(), {.threads = 1});
  for (size_t i = 0; i < golden.size(); ++i) {
    const Json& wanted = golden[i];
    SCOPED_TRACE("case " + std::to_string(i) + ": " + wanted["method"].get<std::string>() + " of " +
                 wanted["value"].get<std::string>());
    const auto prompt = wanted["prompt"].get<std::vector<int32_t>>();
    const Saliency found = saliency(model, prompt, options_from(wanted));
    ASSERT_EQ(found.steps.size(), wanted["results"].size());
    for (size_t step = 0; step < found.steps.size(); ++step)
      expect_step(found, step, wanted["results"][step]);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, SaliencyGoldens,
                         ::testing::Values("plain", "untied", "act_quick_gelu"),
                         [](const auto& checkpoint) { return std::string(checkpoint.param); });

}  // namespace
}  // namespace vitrine::testing
