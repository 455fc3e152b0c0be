// SPDX-License-Identifier: MIT
// Edits that the command cannot ignore, and numbers that are none, as a user meets them.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/json.h"
#include "base/npy.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/vitrine.h"

namespace vitrine::testing {
using namespace internal;
namespace {

const std::string kPlain =
    (std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain").string();

/// What the command says with this status.
std::string refusal(std::vector<std::string> arguments, int status = 2) {
  const CliResult found = run_cli(arguments);
  EXPECT_EQ(found.status, status) << found.err;
  EXPECT_TRUE(found.out.empty()) << found.out;
  return found.err;
}

/// Twice, so that activations overflow float32.
const std::vector<std::string> kOverflow = {"--edit", "blocks.1.hook_mlp_out=scale:3e38", "--edit",
                                            "blocks.1.hook_mlp_out=scale:3e38"};

std::vector<std::string> with_overflow(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--model", kPlain});
  arguments.insert(arguments.end(), kOverflow.begin(), kOverflow.end());
  return arguments;
}

TEST(EditsReachCommand, LogitsOfScoreAndLens) {
  const double uniform = std::log(static_cast<double>(Model::load(kPlain).config().vocab));
  const Json scored = run_json(
      {"score", "--model", kPlain, "--ids", "5,9,77,3", "--edit", "logits=zero", "--summary"});
  EXPECT_NEAR(scored["total"]["mean_nats"].get<double>(), uniform, 1e-6);
  const auto best = [](const std::vector<std::string>& edit) {
    std::vector<std::string> arguments = {"lens",       "--model", kPlain,     "--ids", "5,9",
                                          "--position", "-1",      "--layers", "-1"};
    arguments.insert(arguments.end(), edit.begin(), edit.end());
    return run_json(arguments)["results"][0]["cells"][0]["top"][0]["token"]["id"].get<int>();
  };
  const int usual = best({});
  EXPECT_NE(best({"--edit", "logits[neurons=" + std::to_string(usual) + "]=set:-1e30"}), usual);
}

TEST(EditsReachCommand, FitIsOfTheEditedModel) {
  const TempFolder folder;
  std::string text;
  for (int line = 0; line < 40; ++line)
    text += "{\"ids\":[5," + std::to_string(line) + ",77,3,40,8]}\n";
  const std::string corpus = folder.write("c.jsonl", text).string();
  const auto fit = [&](const std::string& name, const std::vector<std::string>& edit) {
    std::vector<std::string> arguments = {"lens", "--model",       kPlain,       "--fit",
                                          corpus, "--translators", folder / name};
    arguments.insert(arguments.end(), edit.begin(), edit.end());
    return arguments;
  };
  const Json plain = run_json(fit("a", {}))["fit"],
             edited = run_json(fit("b", {"--edit", "blocks.0.hook_mlp_out=zero"}))["fit"];
  EXPECT_NE(plain["model_loss"], edited["model_loss"]);
  EXPECT_EQ(edited["edits"], Json({"blocks.0.hook_mlp_out=zero"}));
  EXPECT_TRUE(says(refusal(fit("c", {"--edit", "blocks.9.hook_mlp_out=zero"})),
                   "unknown site 'blocks.9.hook_mlp_out'"));
  EXPECT_TRUE(
      says(refusal(fit("c", {"--edit", "logits=zero"})), "the edit of 'logits'", "the fit"));
  EXPECT_FALSE(std::filesystem::exists(folder / "c"));
}

TEST(EditsReachCommand, EditsAfterTheLastReadSiteAreRefused) {
  const TempFolder folder;
  EXPECT_TRUE(says(refusal({"capture", "--model", kPlain, "--ids", "5,9", "--capture",
                            "blocks.0.hook_resid_post", "--edit", "blocks.1.hook_mlp_out=zero",
                            "--out", folder / "c.safetensors"}),
                   "blocks.1.hook_mlp_out", "ends at 'blocks.0.hook_resid_post'"));
  EXPECT_TRUE(
      says(refusal({"attention", "--model", kPlain, "--ids", "5,9", "--edit", "logits=zero"}),
           "the edit of 'logits'", "attention"));
}

TEST(NotANumberCommand, IsSaidInOneLine) {
  const TempFolder folder;
  const std::vector<std::vector<std::string>> commands = {
      {"score", "--ids", "5,9,77"},
      {"lens", "--ids", "5,9,77"},
      {"lens", "--ids", "5,9,77", "--position", "-1", "--kl"},
      {"generate", "--ids", "5,9", "-n", "4"},
      {"generate", "--ids", "5,9", "-n", "4", "--temperature", "1"},
      {"saliency", "--ids", "5,9,77"},
      {"noise", "--ids", "5,9,77", "--repetitions", "2"},
      {"attention", "--ids", "5,9,77", "--mode", "rollout", "--layers", "2"},
  };
  for (const auto& command : commands) {
    const std::string said = refusal(with_overflow(command));
    EXPECT_TRUE(says(said, "blocks.1.hook_mlp_out is", "infinite at position 0", "not finite"))
        << command[0];
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

TEST(NotANumberCommand, MapsAreNullInJsonAndAPageIsDrawn) {
  const TempFolder folder;
  const std::vector<std::string> command = {"attention",
                                            "--model",
                                            kPlain,
                                            "--ids",
                                            "5,9,77",
                                            "--position",
                                            "all",
                                            "--layers",
                                            "1",
                                            "--edit",
                                            "blocks.1.attn.hook_q[heads=0]=scale:3e38",
                                            "--edit",
                                            "blocks.1.attn.hook_q[heads=0]=scale:3e38"};
  const Json maps = run_json(command)["results"][0]["maps"];
  EXPECT_TRUE(maps[0]["attention"][1][0].is_null());
  EXPECT_TRUE(maps[1]["attention"][1][0].is_number());
  std::vector<std::string> drawn = command;
  drawn.insert(drawn.end(), {"--html", folder / "a.html"});
  const CliResult found = run_cli(drawn);
  EXPECT_EQ(found.status, 0) << found.err;
  EXPECT_TRUE(says(found.out, "not finite"));
  EXPECT_GT(std::filesystem::file_size(folder / "a.html"), 10000u);
}

TEST(NotANumberCommand, OperandsNameFileAndElement) {
  const TempFolder folder;
  const int64_t width = Model::load(kPlain).config().width;
  Tensor values(DType::kF32, {width});
  values.f32()[7] = NAN;
  write_npy(folder / "nan.npy", values.view());
  values.f32()[7] = 3e38f;
  write_npy(folder / "large.npy", values.view());
  const std::string nan = folder / "nan.npy", large = folder / "large.npy";
  const auto edit = [&](const std::string& change) {
    return refusal({"score", "--model", kPlain, "--ids", "5,9", "--edit",
                    "blocks.0.hook_resid_post=" + change});
  };
  EXPECT_TRUE(says(edit("add:" + nan), nan, "element 7 is nan"));
  EXPECT_TRUE(says(edit("project:" + nan), nan, "element 7 is nan"));
  EXPECT_TRUE(says(edit("add:" + large + "*100"), "large.npy*100", "element 7 is inf"));
  for (const auto& option :
       {std::vector<std::string>{"--baseline", nan, "--method", "integrated-gradients"},
        std::vector<std::string>{"--mask", nan, "--method", "occlusion"}}) {
    std::vector<std::string> arguments = {"saliency", "--model", kPlain, "--ids", "5,9"};
    arguments.insert(arguments.end(), option.begin(), option.end());
    EXPECT_TRUE(says(refusal(arguments), nan, "element 7 is nan"));
  }
}

TEST(NotANumberCommand, StoredOverflowsAreCounted) {
  const TempFolder folder;
  const std::vector<std::string> command = {
      "capture",
      "--model",
      kPlain,
      "--ids",
      "5,9,77",
      "--capture",
      "blocks.0.hook_mlp_out",
      "--edit",
      "blocks.0.hook_mlp_out[positions=1 neurons=2,3]=set:7e4",
      "--store",
      "f16",
      "--out",
      folder / "c.safetensors"};
  const CliResult found = run_cli(command);
  EXPECT_EQ(found.status, 0) << found.err;
  EXPECT_TRUE(says(found.out, "blocks.0.hook_mlp_out: 2 values are NaN or infinite as stored",
                   "position 1 of prompt 0"));
  const Json counted = run_json(command)["capture"]["non_finite"];
  ASSERT_EQ(counted.size(), 1u);
  EXPECT_EQ(counted[0]["count"], 2);
}

}  // namespace
}  // namespace vitrine::testing
