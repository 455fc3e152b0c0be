// SPDX-License-Identifier: MIT
// `vitrine patch` and `vitrine attribute` against the library.

#include <gtest/gtest.h>

#include <cstring>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

const std::vector<int32_t> kClean = {5, 9, 77, 3, 40}, kCorrupt = {5, 9, 61, 3, 40};
const std::vector<std::string> kBoth = {"patch",       "--model",     plain(),
                                        "--clean-ids", "5,9,77,3,40", "--corrupt-ids",
                                        "5,9,61,3,40", "--answer-id", "8"};
const std::vector<std::string> kOne = {"patch",       "--model",     plain(), "--clean-ids",
                                       "5,9,77,3,40", "--answer-id", "8"};

std::vector<std::string> with(std::vector<std::string> arguments,
                              const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<double> flat(const Json& rows) {
  std::vector<double> values;
  for (const Json& row : rows) {
    for (const Json& value : row) values.push_back(value.get<double>());
  }
  return values;
}

void expect_grid(const Json& got, const PatchGrid& wanted) {
  EXPECT_EQ(got["site"], site_info(wanted.site).name);
  EXPECT_EQ(got["layers"], Json(wanted.layers));
  EXPECT_EQ(got["columns"], Json(wanted.columns));
  EXPECT_EQ(got.contains("values") ? flat(got["values"]) : std::vector<double>(), wanted.values)
      << "every digit";
  EXPECT_EQ(got.contains("effects") ? flat(got["effects"]) : std::vector<double>(), wanted.effects);
  EXPECT_EQ(got.contains("estimates") ? flat(got["estimates"]) : std::vector<double>(),
            wanted.estimates);
}

/// Runs the command and compares every number with patch()'s.
void expect_patching(const std::vector<std::string>& more, const PatchOptions& options,
                     const std::vector<std::string>& base = kBoth) {
  SCOPED_TRACE(Json(more).dump());
  const Json json = run_json(with(base, more));
  const Patching wanted = patch(Model::load(plain()), kClean, kCorrupt, options);
  EXPECT_EQ(json["mode"], "patching");
  EXPECT_EQ(json["direction"],
            options.direction == PatchDirection::kDenoise ? "denoising" : "noising");
  EXPECT_EQ(json["metric"]["name"], patch_metric_name(options.metric.kind));
  EXPECT_EQ(json["metric"]["answer"]["id"], options.metric.answer);
  EXPECT_EQ(json["clean"].get<double>(), wanted.clean);
  EXPECT_EQ(json["corrupt"].get<double>(), wanted.corrupt);
  EXPECT_EQ(json["work"]["token_layers"], wanted.work.computed);
  ASSERT_EQ(json["grids"].size(), wanted.grids.size());
  for (size_t g = 0; g < wanted.grids.size(); ++g) expect_grid(json["grids"][g], wanted.grids[g]);
}

TEST(PatchCommand, NumbersAreTheLibrarys) {
  const PatchMetric logit{.kind = PatchMetric::Kind::kLogit, .answer = 8},
      difference{.answer = 8, .wrong = 6};
  expect_patching({}, {.metric = logit});
  expect_patching({"--wrong-id", "6", "--sweep", "mlp_out,attn_scores", "--noising"},
                  {.metric = difference,
                   .direction = PatchDirection::kNoise,
                   .cells = {.sites = {Site::kMlpOut, Site::kAttnScores}}});
  expect_patching(
      {"--sweep", "heads", "--layers", "-1", "--heads", "0,3", "--positions", "2..4", "--compare"},
      {.metric = logit,
       .cells = {.sites = {Site::kZ},
                 .over = PatchOver::kHeads,
                 .layers = {2},
                 .positions = {2, 3, 4},
                 .heads = {0, 3}},
       .attribution = true});
  expect_patching(
      {"--sweep", "neurons", "--neurons", "1,7", "--attribution", "--metric", "prob"},
      {.metric = {.kind = PatchMetric::Kind::kProb, .answer = 8},
       .cells = {.sites = {Site::kMlpPost}, .over = PatchOver::kNeurons, .neurons = {1, 7}},
       .exact = false,
       .attribution = true});
  expect_patching({"--sweep", "mlps", "--window", "2", "--position", "3"},
                  {.metric = logit,
                   .cells = {.sites = {Site::kMlpOut}, .over = PatchOver::kWhole, .window = 2},
                   .position = 3});
  expect_patching({"--align", "0:0,2:2,4:3", "--sweep", "ln1_normalized,hook_attn_out"},
                  {.metric = logit,
                   .cells = {.sites = {Site::kLn1Normalized, Site::kAttnOut}},
                   .alignment = {{0, 0}, {2, 2}, {4, 3}}});
}

TEST(PatchCommand, TheAnswerIsTheModelsByDefault) {
  const Model model = Model::load(plain());
  const auto base = std::vector<std::string>(kBoth.begin(), kBoth.end() - 2);
  for (const int64_t position : {-1, 2}) {
    const vitrine::Run run = model.forward(kClean);
    const auto logits = run.logits().slice(position < 0 ? 4 : position).f32();
    const auto best =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    expect_patching(
        {"--position", std::to_string(position)},
        {.metric = {.kind = PatchMetric::Kind::kLogit, .answer = best}, .position = position},
        base);
  }
}

TEST(PatchCommand, Ablations) {
  const Model model = Model::load(plain());
  const PatchMetric metric{.kind = PatchMetric::Kind::kLogit, .answer = 8};
  const Json zeros = run_json(with(kOne, {"--ablate", "zero"}));
  EXPECT_EQ(zeros["mode"], "ablation");
  expect_grid(zeros["grids"][0], ablate(model, kClean, {.metric = metric}).grids[0]);
  const Json resampled = run_json(with(kBoth, {"--ablate", "resample", "--sweep", "mlps"}));
  expect_grid(resampled["grids"][0],
              ablate(model, kClean,
                     {.ablation = Ablation::kResample,
                      .metric = metric,
                      .cells = {.sites = {Site::kMlpOut}, .over = PatchOver::kWhole},
                      .others = {kCorrupt}})
                  .grids[0]);
}

TEST(PatchCommand, MeansOverOtherPrompts) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  TempFolder folder;
  folder.write("others.txt", "The dog sat on the mat.\nOnce upon a time\n");
  const Json json =
      run_json({"patch", "--clean", "The keys to the cabinet", "--answer", " are", "--ablate",
                "mean", "--others", "A third one", "--others-file", folder / "others.txt"});
  const Model model = Model::load("demo");
  Batch others;
  for (const char* text : {"A third one", "The dog sat on the mat.", "Once upon a time"})
    others.push_back(model.tokenizer().encode(text));
  const PatchMetric metric{.kind = PatchMetric::Kind::kLogit,
                           .answer = model.tokenizer().single_token(" are")};
  expect_grid(json["grids"][0],
              ablate(model, model.tokenizer().encode("The keys to the cabinet"),
                     {.ablation = Ablation::kMean, .metric = metric, .others = others})
                  .grids[0]);
}

TEST(PatchCommand, Traces) {
  const Json json = run_json(with(kOne, {"--trace-positions", "1..2", "--draws", "2", "--noise",
                                         "1.5", "--seed", "9", "--sweep", "mlp_out"}));
  TraceOptions options{.metric = {.kind = PatchMetric::Kind::kProb, .answer = 8},
                       .subject = {1, 2},
                       .draws = 2,
                       .noise = 1.5};
  options.seed = 9;
  options.cells.sites = {Site::kMlpOut};
  const Trace wanted = causal_trace(Model::load(plain()), kClean, options);
  EXPECT_EQ(json["corrupt"].get<double>(), wanted.corrupt);
  EXPECT_EQ(json["deviation"].get<double>(), wanted.deviation);
  expect_grid(json["grids"][0], wanted.grids[0]);
}

TEST(PatchCommand, TracesThePartOfThePromptThatIsNamed) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const std::vector<std::string> trace = {
      "patch", "--clean", "Heathrow airport is located in the city of", "--draws", "1"};
  EXPECT_EQ(run_json(with(trace, {"--trace", "Heathrow"}))["subject"], Json({0, 1, 2}));
  EXPECT_EQ(run_json(with(trace, {"--trace", " airport is"}))["subject"], Json({3, 4}));
  EXPECT_EQ(run_json(with(trace, {"--trace", "row air"}))["subject"], Json({2, 3}))
      << "tokens that hold a part of it";
}

TEST(PatchCommand, Paths) {
  const Json json =
      run_json(with(kBoth, {"--paths", "q 2.1, mlp 2,final", "--senders", "h0.3,embed", "--noising",
                            "--through-mlps", "--positions", "2..4"}));
  using Kind = PathNode::Kind;
  const PathOptions options{
      .metric = {.kind = PatchMetric::Kind::kLogit, .answer = 8},
      .direction = PatchDirection::kNoise,
      .senders = {{Kind::kHead, 0, 3}, {.kind = Kind::kEmbedding}},
      .receivers = {{Kind::kQuery, 2, 1}, {Kind::kMlp, 2, 0}, {.kind = Kind::kFinalResidual}},
      .receiver_positions = {2, 3, 4},
      .through_mlps = true};
  const PathPatching wanted = path_patch(Model::load(plain()), kClean, kCorrupt, options);
  ASSERT_EQ(json["senders"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(json["senders"][i]["sender"], wanted.senders[i].name());
    EXPECT_EQ(json["senders"][i]["value"].get<double>(), wanted.values[i]);
    EXPECT_EQ(json["senders"][i]["effect"].get<double>(), wanted.effects[i]);
  }
}

TEST(PatchCommand, FilesHoldWhatJsonSays) {
  TempFolder folder;
  const Json json = run_json(
      with(kBoth, {"--sweep", "z,mlp_post", "--compare", "--out", folder / "x.safetensors"}));
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.names().size(), 10u);
  for (size_t g = 0; g < 2; ++g) {
    const std::string site = g == 0 ? "z" : "mlp_post";
    for (const char* name : {"values", "effects", "estimates"}) {
      const TensorView found = file.tensor(site + "." + name);
      EXPECT_EQ(found.shape(), (Shape{3, 5}));
      std::vector<double> values(15);
      std::memcpy(values.data(), found.data(), found.bytes());
      EXPECT_EQ(values, flat(json["grids"][g][name]));
    }
  }
}

TEST(PatchCommand, PicturesSayTheSame) {
  const std::string out = run_cli(with(kBoth, {"--sweep", "resid_post", "--compare"})).out;
  EXPECT_NE(out.find("resid_post, estimated from the gradient"), std::string::npos) << out;
  EXPECT_NE(out.find("correlation of the two: "), std::string::npos);
  EXPECT_NE(out.find("15 cells; computed "), std::string::npos);
  const size_t row = out.find("\n2 ");
  EXPECT_EQ(out.substr(out.find_last_not_of('\n', out.find('\n', row + 1)) - 3, 4), "+100")
      << "after the last block only its last position is read\n"
      << out;
  EXPECT_NE(run_cli(with(kBoth, {"--noising", "--sweep", "mlps"}))
                .out.find("clean prompt's answer (0) to the corrupt one's (-100)"),
            std::string::npos);
  EXPECT_NE(
      run_cli(with(kBoth, {"--sweep", "neurons", "--top", "2"})).out.find(" more are smaller"),
      std::string::npos);
}

TEST(PatchCommand, RefusesWhatDoesNotGoTogether) {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& line) {
    const CliResult result = run_cli(arguments);
    EXPECT_EQ(result.status, 2) << Json(arguments).dump();
    EXPECT_EQ(result.err, "vitrine: " + line + "\n");
    EXPECT_EQ(result.out, "");
  };
  refused(kOne, "missing corrupt prompt: expected --corrupt TEXT or --corrupt-ids IDS");
  refused({"patch", "--model", plain(), "--corrupt-ids", "1,2"},
          "missing clean prompt: expected --clean TEXT or --clean-ids IDS");
  const std::string end = ": leave one of them out; see vitrine patch --help";
  refused(with(kBoth, {"--ablate", "zero"}),
          "--corrupt-ids cannot be used with --ablate zero" + end);
  refused(with(kBoth, {"--trace-positions", "1"}),
          "--corrupt-ids cannot be used with --trace-positions" + end);
  refused(with(kBoth, {"--paths", "final", "--compare"}),
          "--compare cannot be used with --paths" + end);
  refused(with(kBoth, {"--paths", "final", "--layers", "1"}),
          "--layers cannot be used with --paths" + end);
  refused(with(kOne, {"--ablate", "zero", "--noising"}),
          "--noising cannot be used with --ablate" + end);
  refused(with(kBoth, {"--draws", "3"}),
          "--draws has no effect without --trace or --trace-positions: expected --trace or "
          "--trace-positions, or leave --draws out; see vitrine patch --help");
  refused(with(kBoth, {"--metric", "logit-difference"}),
          "missing --wrong TOKEN: the metric logit-difference compares two tokens");
  refused(with(kBoth, {"--metric", "prob", "--wrong-id", "3"}),
          "--wrong cannot be used with the metric prob: leave it out, or use logit-difference");
  refused(
      with(kBoth, {"--sweep", "heads,neurons"}),
      "--sweep neurons is over neurons, which cannot be combined with heads: run them separately");
  refused(with(kBoth, {"--align", "1"}),
          "invalid pair of positions '1': expected CLEAN:CORRUPT, such as 3:2");
  refused(with(kBoth, {"--paths", "head"}),
          "unknown component 'head': expected embed, head L.H, mlp L, q L.H, k L.H, v L.H or "
          "final, with L.H a layer and a head");
  refused(with(kBoth, {"--out", "x.npy"}),
          "x.npy: unknown output format: expected a file name ending in .safetensors");
  EXPECT_NE(run_cli(with(kBoth, {"--sweep", "embed"}))
                .err.find("cannot sweep 'embed': expected one of resid_pre, "),
            std::string::npos);
}

TEST(AttributeCommand, NumbersAreTheLibrarys) {
  TempFolder folder;
  const Json json = run_json({"attribute", "--model", plain(), "--ids", "1,2", "--ids",
                              "5,9,77,3,40", "--target-id", "8", "--against-id", "6", "--position",
                              "1", "--neurons", "3", "--out", folder / "x.safetensors"});
  const LogitAttribution wanted = logit_attribution(
      Model::load(plain()), kClean, {.target = 8, .against = 6, .position = 1, .neurons = 3});
  const Json& got = json["results"][1];
  EXPECT_EQ(got["logit"].get<double>(), wanted.logit);
  EXPECT_EQ(got["sum"].get<double>(), wanted.sum());
  EXPECT_EQ(got["gap"].get<double>(), wanted.gap());
  EXPECT_EQ(got["embedding"].get<double>(), wanted.embedding);
  EXPECT_EQ(got["position_embedding"].get<double>(), wanted.position_embedding);
  EXPECT_EQ(got["final_bias"].get<double>(), wanted.final_bias);
  std::vector<double> heads;
  for (size_t layer = 0; layer < 3; ++layer) {
    for (const Json& head : got["layers"][layer]["heads"]) heads.push_back(head.get<double>());
    EXPECT_EQ(got["layers"][layer]["attention_bias"].get<double>(), wanted.attention_bias[layer]);
    EXPECT_EQ(got["layers"][layer]["mlp"].get<double>(), wanted.mlp[layer]);
    EXPECT_EQ(got["layers"][layer]["mlp_bias"].get<double>(), wanted.mlp_bias[layer]);
  }
  EXPECT_EQ(heads, wanted.head);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(got["neurons"][i]["contribution"].get<double>(), wanted.neurons[i].contribution);

  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.names().size(), 2u * 16);
  EXPECT_EQ(file.tensor("heads.1").shape(), (Shape{3, 4}));
  EXPECT_EQ(std::memcmp(file.tensor("heads.1").data(), wanted.head.data(), 12 * sizeof(double)), 0);
  EXPECT_EQ(file.tensor("neurons_contribution.1").shape(), (Shape{3}));
}

TEST(AttributeCommand, TheTableIsInOrderAndAddsUp) {
  const std::string out = run_cli({"attribute", "--model", plain(), "--ids", "5,9,77",
                                   "--target-id", "8", "--top", "2"})
                              .out;
  EXPECT_NE(out.find("19 more"), std::string::npos) << out;
  EXPECT_NE(out.find("sum of all parts "), std::string::npos);
  EXPECT_NE(out.find("cells: hundredths of a logit"), std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
