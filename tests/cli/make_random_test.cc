// SPDX-License-Identifier: MIT
// `vitrine make-random`: what it makes, another command runs; what it refuses leaves nothing.

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

std::vector<std::string> make(const fs::path& folder, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "make-random", folder.string(), "--layers", "2",       "--heads", "4", "--width",
      "32",          "--context",     "16",       "--vocab", "4096"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(MakeRandom, WhatItMakesRuns) {
  TempFolder folder;
  const Json made = run_json(make(
      folder / "made", {"--seed", "3", "--dtype", "bf16", "--tokenizer", demo_folder().string()}));
  EXPECT_EQ(made["command"], "make-random");
  EXPECT_EQ(made["config"]["inner"], 128);
  EXPECT_EQ(made["seed"], 3);
  EXPECT_EQ(made["dtype"], "bf16");
  EXPECT_EQ(made["init"], "gpt2");
  EXPECT_EQ(made["parameters"], 4096 * 32 + 16 * 32 + 2 * (12 * 32 * 32 + 13 * 32) + 2 * 32);
  EXPECT_EQ(made["bytes"], 2 * made["parameters"].get<int64_t>());
  const Json info = run_json({"info", "--model", (folder / "made").string()});
  EXPECT_EQ(info["config"], made["config"]);
  EXPECT_EQ(info["parameters"], made["parameters"]);
  EXPECT_EQ(info["model"]["dtype"], "bf16");
  EXPECT_EQ(info["tokenizer"]["vocab"], 4096);
  const Json text = run_json(
      {"score", "--model", (folder / "made").string(), "--prompt", "The keys to the cabinet"});
  EXPECT_NEAR(text["total"]["mean_bits"].get<double>(), 12, 0.5)
      << "GPT-2 begins all but uniform over 2^12 tokens";
}

TEST(MakeRandom, SaysWhatItMade) {
  TempFolder folder;
  const CliResult first = run_cli(make(folder / "a", {"--init", "wide"})),
                  again = run_cli(make(folder / "b", {"--init", "wide"})),
                  other = run_cli(make(folder / "c", {}));
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_TRUE(says(first.out, (folder / "a").string(), "2 layers", "4,096 tokens", "f32", "seed 1",
                   "wide", "use token ids"));
  EXPECT_EQ(first.err, "");
  const auto weights = [&](const char* name) {
    return read_bytes(folder / name / "model.safetensors");
  };
  EXPECT_EQ(weights("a"), weights("b")) << "the same seed, the same bytes";
  EXPECT_NE(weights("a"), weights("c"));
}

TEST(MakeRandom, RefusesOnOneLine) {
  TempFolder folder;
  fs::create_directory(folder / "full");
  folder.write("full/mine", "mine");
  const auto refused = [&](std::vector<std::string> arguments,
                           const std::vector<std::string>& words, int status = 2,
                           const CliOptions& options = {}) {
    const CliResult result = run_cli(arguments, options);
    SCOPED_TRACE(Json(arguments).dump() + "\n" + result.err);
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    for (const std::string& word : words)
      EXPECT_NE(result.err.find(word), std::string::npos) << word;
    EXPECT_EQ(folder.count(), 1u);
  };
  refused({"make-random"}, {"DIR"});
  refused(make(folder / "full", {}), {"full", "not empty"});
  refused(make(folder / "nowhere/new", {}), {"nowhere", "No such file"});
  refused({"make-random", folder / "x", "--width", "100"}, {"--width 100", "--heads 12"});
  refused(make(folder / "x", {"--dtype", "i8"}), {"i8", "bf16"});
  refused(make(folder / "x", {"--init", "zero"}), {"--init", "zero"});
  refused(make(folder / "x", {"--size", "gpt3"}), {"--size", "gpt3"});
  refused({"make-random", folder / "x", "--layers", "0"}, {"--layers", "0"});
  refused(make(folder / "x", {"--seed", "-1"}), {"--seed", "-1"});
  refused(make(folder / "x", {"--tokenizer", "/nowhere"}), {"/nowhere"});
  refused({"make-random", folder / "x", "--layers", "1000", "--width", "131072", "--heads", "1"},
          {"free"}, 1);
  refused(make(folder / "x", {}), {"model.safetensors"}, 1, {.file_size_limit = 100000});
}

TEST(MakeRandom, InterruptedItLeavesNothing) {
  TempFolder folder;
  const CliResult result = run_cli({"make-random", folder / "made", "--layers", "200", "--heads",
                                    "4", "--width", "128", "--vocab", "1000"},
                                   {.meanwhile = [&](pid_t child) {
                                     while (folder.count() == 0 && kill(child, 0) == 0)
                                       usleep(1000);
                                     kill(child, SIGTERM);
                                   }});
  EXPECT_EQ(result.status, -SIGTERM);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace vitrine::testing
