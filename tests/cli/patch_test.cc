// SPDX-License-Identifier: MIT
// `vitrine patch` and `vitrine attribute` against the library.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/pairs.h"
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

/// One number of all cells of a site, layer by layer; none where no cell has it.
std::vector<double> numbers_at(const Json& json, Site site, const std::string& name) {
  std::vector<double> values;
  for (const Json& cell : json["cells"]) {
    if (cell["site"].get<std::string>().ends_with("." + std::string(site_info(site).name)) &&
        cell.contains(name))
      values.push_back(cell[name].get<double>());
  }
  return values;
}

void expect_grid(const Json& json, const PatchGrid& wanted) {
  size_t at = 0;
  for (const Json& cell : json["cells"]) {
    if (!cell["site"].get<std::string>().ends_with("." + std::string(site_info(wanted.site).name)))
      continue;
    EXPECT_EQ(cell["site"], site_name(wanted.site, wanted.layers[at / wanted.columns.size()]));
    const std::string over = json["over"];
    if (over != "whole") {
      EXPECT_EQ(cell[over], wanted.columns[at % wanted.columns.size()]);
    }
    ++at;
  }
  EXPECT_EQ(at, wanted.layers.size() * wanted.columns.size());
  EXPECT_EQ(numbers_at(json, wanted.site, "value"), wanted.values) << "every digit";
  EXPECT_EQ(numbers_at(json, wanted.site, "effect"), wanted.effects);
  EXPECT_EQ(numbers_at(json, wanted.site, "estimate"), wanted.estimates);
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
  EXPECT_EQ(json["metric"]["answer"]["id"], options.metric.answer.ids()[0]);
  EXPECT_EQ(json["clean"].get<double>(), wanted.clean);
  EXPECT_EQ(json["corrupt"].get<double>(), wanted.corrupt);
  EXPECT_EQ(json["work"]["token_layers"], wanted.work.computed);
  ASSERT_EQ(json["sweeps"].size(), wanted.grids.size());
  for (const PatchGrid& grid : wanted.grids) expect_grid(json, grid);
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
  expect_grid(zeros, ablate(model, kClean, {.metric = metric}).grids[0]);
  const Json resampled = run_json(with(kBoth, {"--ablate", "resample", "--sweep", "mlps"}));
  expect_grid(resampled, ablate(model, kClean,
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
  expect_grid(json, ablate(model, model.tokenizer().encode("The keys to the cabinet"),
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
  expect_grid(json, wanted.grids[0]);
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
  EXPECT_EQ(file.names().size(), 11u);
  for (const char* name : {"value", "effect", "estimate"}) {
    const TensorView found = file.tensor(std::string(name) + ".0");
    EXPECT_EQ(found.shape(), (Shape{6, 5}));
    std::vector<double> values(30);
    std::memcpy(values.data(), found.data(), found.bytes());
    std::vector<double> wanted = numbers_at(json, Site::kZ, name);
    const std::vector<double> more = numbers_at(json, Site::kMlpPost, name);
    wanted.insert(wanted.end(), more.begin(), more.end());
    EXPECT_EQ(values, wanted);
  }
}

// Rows of sites whose rows differ in length end with NaN in arrays; JSON and CSV leave those out.
TEST(PatchCommand, SitesOfDifferentWidths) {
  TempFolder folder;
  const Json json = run_json(
      with(kBoth, {"--sweep", "mlp_post,resid_pre", "--over", "neurons", "--layers", "1",
                   "--attribution", "--out", folder / "x.safetensors", "--csv", folder / "x.csv"}));
  const Config config = Model::load(plain()).config();
  const auto cells = static_cast<size_t>(config.inner + config.width);
  EXPECT_EQ(json["cells"].size(), cells);
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.tensor("estimate.0").shape(), (Shape{2, config.inner}));
  const std::string csv = read_bytes(folder / "x.csv");
  EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')), 1 + cells);
  EXPECT_TRUE(csv.starts_with("result,site,neuron,estimate\n")) << csv.substr(0, 80);
}

TEST(PatchCommand, PicturesSayTheSame) {
  const std::string out = run_cli(with(kBoth, {"--sweep", "resid_post", "--compare"})).out;
  EXPECT_NE(out.find("hook_resid_post, estimated from the gradient (correlation of the two: "),
            std::string::npos)
      << out;
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

// --- pairs

/// Three pairs of five tokens; the second has several answers.
std::string pairs_in(TempFolder& folder) {
  folder.write("pairs.jsonl",
               R"({"clean": [5,9,77,3,40], "corrupt": [5,9,61,3,40], "answer": 8, "wrong": 6}
{"clean": [1,2,3,4,5], "corrupt": [1,2,9,4,5], "answers": [8, 11], "wrong": [7]}
{"clean": [6,5,4,3,2], "corrupt": [6,5,14,3,2], "answer": 12, "wrongs": [13, 14]}
)");
  return folder / "pairs.jsonl";
}

std::vector<PatchPair> same_pairs() {
  return {{.clean = kClean, .corrupt = kCorrupt, .answer = 8, .wrong = 6},
          {.clean = {1, 2, 3, 4, 5}, .corrupt = {1, 2, 9, 4, 5}, .answer = {8, 11}, .wrong = 7},
          {.clean = {6, 5, 4, 3, 2}, .corrupt = {6, 5, 14, 3, 2}, .answer = 12, .wrong = {13, 14}}};
}

TEST(PatchCommand, PairsAreTheLibrarys) {
  TempFolder folder;
  const std::vector<std::string> command = {"patch",
                                            "--model",
                                            plain(),
                                            "--pairs",
                                            pairs_in(folder),
                                            "--edit",
                                            "blocks.0.hook_mlp_out=scale:0.5",
                                            "--compare",
                                            "--sweep",
                                            "z"};
  const Json json =
      run_json(with(command, {"--csv", folder / "x.csv", "--out", folder / "x.safetensors",
                              "--html", folder / "x.html"}));
  PatchOptions options{.cells = {.sites = {Site::kZ}}, .attribution = true};
  options.edits.edit("blocks.0.hook_mlp_out", scale(0.5f));
  const OverPairs<Patching> wanted = patch_pairs(Model::load(plain()), same_pairs(), options);
  EXPECT_EQ(json["pairs"], 3);
  EXPECT_EQ(json["metric"], Json({{"name", "logit-difference"}}));
  EXPECT_EQ(json["clean"]["mean"].get<double>(), wanted.mean.clean);
  EXPECT_EQ(json["corrupt"]["standard_error"].get<double>(), wanted.standard_error.corrupt);
  ASSERT_EQ(json["cells"].size(), 15u);
  for (size_t i = 0; i < 15; ++i) {
    const Json& cell = json["cells"][i];
    const auto same = [&](const char* name, std::vector<double> PatchGrid::*member) {
      const auto at = [&](const Patching& found) { return (found.grids[0].*member)[i]; };
      EXPECT_EQ(cell[name]["mean"].get<double>(), at(wanted.mean));
      EXPECT_EQ(cell[name]["standard_error"].get<double>(), at(wanted.standard_error));
      EXPECT_EQ(cell[name]["deviation"].get<double>(), at(wanted.deviation));
    };
    same("value", &PatchGrid::values);
    same("effect", &PatchGrid::effects);
    same("estimate", &PatchGrid::estimates);
  }
  EXPECT_TRUE(read_bytes(folder / "x.csv")
                  .starts_with("result,site,position,value_mean (logits),value_standard_error "
                               "(logits),value_deviation (logits),effect_mean,"));
  EXPECT_EQ(SafetensorsFile(folder / "x.safetensors").tensor("effect_standard_error.0").shape(),
            (Shape{3, 5}));
  const std::string out = run_cli(command).out;
  EXPECT_TRUE(
      out.starts_with("3 pairs of prompts\nlogit of the answer less that of the wrong one: "))
      << out;
  const PatchGrid &means = wanted.mean.grids[0], &errors = wanted.standard_error.grids[0];
  const std::string cell = fmt::format("{:+} ±{}", std::lround(100 * means.effects[2]),
                                       std::lround(100 * errors.effects[2]));
  EXPECT_NE(out.find(cell), std::string::npos) << cell << "\n" << out;
  EXPECT_NE(out.find("mean ± standard error of 3 pairs: percent of the way"), std::string::npos);
}

TEST(PatchCommand, PathsOverPairs) {
  TempFolder folder;
  const std::vector<std::string> command = {"patch",          "--model", plain(), "--pairs",
                                            pairs_in(folder), "--paths", "mlp 2"};
  const Json json = run_json(command);
  const OverPairs<PathPatching> wanted = path_patch_pairs(
      Model::load(plain()), same_pairs(), {.receivers = {{PathNode::Kind::kMlp, 2, 0}}});
  for (size_t i = 0; i < wanted.mean.senders.size(); ++i) {
    EXPECT_EQ(json["senders"][i]["sender"], wanted.mean.senders[i].name());
    EXPECT_EQ(json["senders"][i]["effect"]["mean"].get<double>(), wanted.mean.effects[i]);
    EXPECT_EQ(json["senders"][i]["effect"]["deviation"].get<double>(), wanted.deviation.effects[i]);
  }
  EXPECT_NE(run_cli(command).out.find(" % ±"), std::string::npos);
}

TEST(AttributeCommand, PairsAreTheLibrarys) {
  TempFolder folder;
  const std::vector<std::string> command = {"attribute", "--model", plain(), "--pairs",
                                            pairs_in(folder)};
  const Json json = run_json(with(command, {"--html", folder / "x.html"}));
  const AttributedPairs wanted = attribute_pairs(Model::load(plain()), same_pairs());
  EXPECT_EQ(json["pairs"], 3);
  EXPECT_EQ(json["logit"]["mean"].get<double>(), wanted.clean.mean.logit);
  EXPECT_EQ(json["difference"]["embedding"]["standard_error"].get<double>(),
            wanted.difference->standard_error.embedding);
  for (size_t layer = 0; layer < 3; ++layer) {
    const Json& got = json["layers"][layer];
    EXPECT_EQ(got["mlp"]["deviation"].get<double>(), wanted.clean.deviation.mlp[layer]);
    for (size_t head = 0; head < 4; ++head) {
      EXPECT_EQ(got["heads"][head]["mean"].get<double>(), wanted.clean.mean.head[layer * 4 + head]);
      EXPECT_EQ(got["difference"]["heads"][head]["mean"].get<double>(),
                wanted.difference->mean.head[layer * 4 + head]);
    }
  }
  const std::string out = run_cli(command).out;
  EXPECT_NE(out.find("clean less corrupt prompts: mean "), std::string::npos) << out;
  EXPECT_NE(out.find("mean ± standard error of 3 pairs, hundredths of a logit"), std::string::npos);
}

TEST(AttributeCommand, EditsHold) {
  const Json json = run_json({"attribute", "--model", plain(), "--ids", "5,9,77", "--target-id",
                              "8", "--edit", "blocks.1.hook_resid_post=add:0.25"});
  AttributionOptions options{.target = 8};
  options.edits.edit("blocks.1.hook_resid_post", add(Tensor::from(std::vector<float>{0.25f})));
  const LogitAttribution wanted =
      logit_attribution(Model::load(plain()), std::vector<int32_t>{5, 9, 77}, options);
  EXPECT_EQ(json["results"][0]["logit"].get<double>(), wanted.logit);
  EXPECT_EQ(json["results"][0]["edits"].get<double>(), wanted.edits);
}

TEST(PatchCommand, RefusesPairsByTheirLine) {
  TempFolder folder;
  const std::string good = R"({"clean": [5,9], "corrupt": [5,8], "answer": 8, "wrong": 6})";
  const auto refused = [&](const std::string& second, const std::string& error,
                           const std::vector<std::string>& more = {}) {
    folder.write("p.jsonl", good + "\n" + second + "\n");
    const std::string path = folder / "p.jsonl";
    const CliResult result = run_cli(
        with({"patch", "--model", plain(), "--pairs", path, "--csv", folder / "x.csv"}, more));
    EXPECT_EQ(result.status, 2) << second;
    EXPECT_EQ(result.err, "vitrine: " + path + ":2" + error + "\n");
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(std::filesystem::exists(folder / "x.csv")) << "nothing is half written";
  };
  refused(R"({"clean": [5,9], "corrupt": [5,8,7], "answer": 8, "wrong": 6})",
          ": the clean prompt has 2 tokens, the corrupt one 3: expected the same length; or use an "
          "alignment of their positions");
  refused(R"({"clean": [5,9], "corrupt": [5], "answer": 8, "wrong": 6})",
          ": the alignment's position 1 of the corrupt prompt is out of range: expected 0..0",
          {"--align", "0:0,1:1"});
  refused(R"({"clean": [5,9,7], "corrupt": [5,8,7], "answer": 8, "wrong": 6})",
          ": the prompt has 3 tokens, that of the first pair 2: expected the same number, because "
          "columns are positions");
  refused(R"({"clean": [5,9], "corupt": [5,8]})",
          ": unknown field 'corupt': expected clean, corrupt, answer or wrong");
  refused(R"({"corrupt": [5,8]})",
          ": missing \"clean\": expected a prompt as text or a list of ids");
  refused(R"({"clean": [5,9], "corrupt": [5,8], "answer": 8, "answers": [9]})",
          ": both \"answer\" and \"answers\": expected one of them");
  refused(R"({"clean": [5,9], "corrupt": [5,8], "answer": -1})", ": invalid token id -1");
  refused(R"({"clean": [5,9], "corrupt": [5,8], "answer": 8})",
          ": missing wrong answer: expected one, because the metric is logit-difference");
  const CliResult result = run_cli(with(kBoth, {"--pairs", "p.jsonl"}));
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.err.find("cannot be used with --pairs"), std::string::npos) << result.err;
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
          "--out: x.npy: unknown output format: expected a file name ending in .safetensors, or a "
          "folder (ending in /) for .npy files; see vitrine patch --help");
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
  EXPECT_EQ(file.names().size(), 2u * 17);
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
