// SPDX-License-Identifier: MIT
// `vitrine saliency` against the library.

#include "vitrine/analysis/saliency.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr const char* kSaliencyIds = "5,9,77,3,40";
const std::vector<int32_t> kSaliencyPrompt = {5, 9, 77, 3, 40};

/// Runs the command with these options and compares every number with the library's.
Json expect_librarys(const std::vector<std::string>& more, const SaliencyOptions& options) {
  std::vector<std::string> arguments = {"saliency", "--model", plain(), "--ids", kSaliencyIds};
  arguments.insert(arguments.end(), more.begin(), more.end());
  SCOPED_TRACE(Json(arguments).dump());
  Json json = run_json(arguments);
  const Saliency found = saliency(Model::load(plain()), kSaliencyPrompt, options);
  const Json& result = json["results"][0];
  EXPECT_EQ(result["method"], saliency_method_name(options.method));
  EXPECT_EQ(result["of"], saliency_value_name(options.value));
  EXPECT_EQ(result["steps"].size(), found.steps.size());
  for (size_t step = 0; step < found.steps.size(); ++step) {
    const Json& got = result["steps"][step];
    EXPECT_EQ(got["target"]["id"], found.steps[step].target);
    EXPECT_EQ(got["rank"], found.steps[step].rank);
    EXPECT_EQ(got["value"].get<double>(), found.steps[step].value) << "every digit";
    EXPECT_EQ(got["probability"].get<double>(), std::exp(found.steps[step].log_prob));
    EXPECT_EQ(got["tokens"].size(), static_cast<size_t>(found.steps[step].inputs));
    for (size_t i = 0; i < got["tokens"].size(); ++i) {
      EXPECT_EQ(got["tokens"][i]["token"]["id"], found.ids[i]);
      EXPECT_EQ(got["tokens"][i]["share"].get<double>(), found.shares[found.cell(step, i)]);
      EXPECT_EQ(got["tokens"][i]["score"].get<double>(), found.scores[found.cell(step, i)]);
    }
  }
  return json;
}

TEST(SaliencyCommand, NumbersAreTheLibrarys) {
  expect_librarys({}, {});
  expect_librarys(
      {"--method", "gradient-norm", "--of", "log-prob", "--target-id", "8"},
      {.method = SaliencyMethod::kGradientNorm, .value = SaliencyValue::kLogProb, .target = 8});
  expect_librarys({"--contrast-id", "6", "--continuation-ids", "7,8,9", "--of", "prob"},
                  {.value = SaliencyValue::kProb, .contrast = 6, .continuation = {7, 8, 9}});
  expect_librarys({"--generate", "3"}, {.generate = GenerateOptions{.max_new_tokens = 3}});
  expect_librarys(
      {"--method", "smooth-grad", "--samples", "3", "--noise", "0.2", "--seed", "5", "--norm"},
      {.method = SaliencyMethod::kSmoothGrad,
       .smooth = {.samples = 3, .noise = 0.2, .seed = 5, .times_input = false}});
  expect_librarys(
      {"--method", "occlusion", "--mask", "delete"},
      {.method = SaliencyMethod::kOcclusion, .mask = {.kind = Replacement::Kind::kDelete}});
}

TEST(SaliencyCommand, IntegratedGradientsSayWhatIsMissing) {
  SaliencyOptions options{.method = SaliencyMethod::kIntegratedGradients};
  options.integrated = {.rule = Quadrature::kLeft,
                        .steps = 3,
                        .baseline = {.kind = Replacement::Kind::kToken, .token = 4}};
  const Json json = expect_librarys(
      {"--method", "integrated-gradients", "--rule", "left", "--steps", "3", "--baseline", "id:4"},
      options);
  const Completeness wanted =
      *saliency(Model::load(plain()), kSaliencyPrompt, options).steps[0].completeness;
  EXPECT_EQ(json["results"][0]["steps"][0]["completeness"]["gap"].get<double>(), wanted.gap);
  EXPECT_EQ(json["results"][0]["steps"][0]["completeness"]["relative_gap"].get<double>(),
            wanted.relative_gap);
  EXPECT_EQ(json["results"][0]["settings"],
            Json({{"rule", "left"}, {"steps", 3}, {"baseline", "id:4"}}));
}

TEST(SaliencyCommand, SpansAreComparedWithScatteredTokens) {
  SaliencyOptions options{.method = SaliencyMethod::kSpanOcclusion};
  options.spans.draws = 7;
  options.spans.budget = 0.4;
  options.spans.seed = 2;
  const Json json = expect_librarys(
      {"--method", "span-occlusion", "--draws", "7", "--budget", "0.4", "--seed", "2"}, options);
  const SpanComparison wanted =
      *saliency(Model::load(plain()), kSaliencyPrompt, options).steps[0].comparison;
  const Json& step = json["results"][0]["steps"][0];
  EXPECT_EQ(step["comparison"]["masked_tokens"].get<double>(), 2);
  EXPECT_EQ(step["comparison"]["spans"]["value"].get<double>(), wanted.spans.value);
  EXPECT_EQ(step["comparison"]["scattered"]["hidden"].get<double>(), wanted.scattered.hidden);
  EXPECT_EQ(step["tokens"][1]["scattered"]["score"].get<double>(), wanted.scattered_scores[1]);
  EXPECT_EQ(step["tokens"][1]["draws"], wanted.span_draws[1]);
}

TEST(SaliencyCommand, FilesHoldWhatJsonSays) {
  TempFolder folder;
  const Json json =
      run_json({"saliency", "--model", plain(), "--ids", "1,2", "--ids", kSaliencyIds, "--generate",
                "2", "--method", "occlusion", "--out", folder / "x.safetensors"});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_NE(file.metadata().at("facts.1").find(R"("method":"occlusion","of":"logit")"),
            std::string::npos);
  EXPECT_EQ(file.names().size(), 2u * 11);
  EXPECT_EQ(file.tensor("ids.1").shape(), (Shape{6}));
  EXPECT_EQ(file.tensor("tokens_score.1").shape(), (Shape{2, 6}));
  std::vector<double> scores(12);
  std::memcpy(scores.data(), file.tensor("tokens_score.1").data(),
              file.tensor("tokens_score.1").bytes());
  for (size_t step = 0; step < 2; ++step) {
    const Json& tokens = json["results"][1]["steps"][step]["tokens"];
    for (size_t i = 0; i < tokens.size(); ++i)
      EXPECT_EQ(scores[step * 6 + i], tokens[i]["score"].get<double>());
  }
  EXPECT_EQ(scores[5], 0) << "after the first step's input";
}

TEST(SaliencyCommand, ABaselineFromAFile) {
  TempFolder folder;
  run_json({"capture", "--model", plain(), "--ids", kSaliencyIds, "--capture", "hook_embed",
            "--out", folder / "e.npy"});
  const Json json = run_json({"saliency", "--model", plain(), "--ids", kSaliencyIds, "--method",
                              "occlusion", "--mask", folder / "e.npy"});
  for (const Json& token : json["results"][0]["steps"][0]["tokens"])
    EXPECT_EQ(token["score"].get<double>(), 0) << "each masked by itself";
}

TEST(SaliencyCommand, TheTableIsInOrderAndSaysWhatItLeavesOut) {
  const std::string out = run_cli({"saliency", "--model", plain(), "--ids", kSaliencyIds,
                                   "--method", "occlusion", "--top-k", "2"})
                              .out;
  EXPECT_NE(out.find("3 more tokens have "), std::string::npos) << out;
  const size_t first = out.find('%', out.find("position  token")),
               second = out.find('%', first + 1);
  const auto share = [&](size_t end) { return std::stod(out.substr(end - 6, 5)); };
  EXPECT_GE(share(first), share(second));
  EXPECT_EQ(run_cli({"saliency", "--model", plain(), "--ids", kSaliencyIds, "--method", "occlusion",
                     "--show", "grid"})
                .out.find("position  token"),
            std::string::npos);
}

TEST(SaliencyCommand, OnTheDemo) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const Json json = run_json(
      {"saliency", "--prompt", "The keys to the cabinet", "--target", " are", "--contrast", " is"});
  const Json& step = json["results"][0]["steps"][0];
  EXPECT_EQ(step["target"]["text"], " are");
  EXPECT_EQ(json["results"][0]["contrast"]["text"], " is");
  EXPECT_EQ(step["tokens"][1]["token"]["text"], " keys");
  EXPECT_NE(run_cli({"saliency", "--prompt", "The keys to the cabinet"}).out.find("␣are"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
