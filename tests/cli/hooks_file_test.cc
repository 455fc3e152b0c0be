// SPDX-License-Identifier: MIT
// --hooks and --save-hooks: an experiment is one file.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/npy.h"
#include "option_table.h"
#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

using Words = std::vector<std::string>;

Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(HooksOption, ASavedRunIsRepeatedFromItsFile) {
  const TempFolder folder;
  const std::vector<float> direction(32, 0.25f);
  write_npy(folder / "v.npy", Tensor::from(direction).view());
  const std::string plan = folder / "plan.json";
  const Words run = {"generate", "--model", plain(),         "--ids", "5,9,77",
                     "-n",       "6",       "--temperature", "1"};
  const auto first = run_cli(joined(
      run,
      {"--seed", "3", "--edit",
       "blocks.0.hook_mlp_out[positions=1..]=add:" + (folder / "v.npy").string() + "*2", "--edit",
       "blocks.1.attn.hook_z[heads=0]=zero", "--capture", "blocks.*.hook_resid_post[positions=-1]",
       "--store", "f16", "--out", folder / "one.safetensors", "--save-hooks", plan}));
  ASSERT_EQ(first.status, 0) << first.err;
  std::filesystem::remove(folder / "v.npy");
  const auto again = run_cli(joined(run, {"--hooks", plan, "--out", folder / "two.safetensors",
                                          "--save-hooks", folder / "again.json"}));
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_bytes(folder / "one.safetensors"), read_bytes(folder / "two.safetensors"));
  EXPECT_EQ(read_bytes(plan), read_bytes(folder / "again.json"));
  const auto plainly = run_cli(joined(run, {"--seed", "3"}));
  EXPECT_NE(first.out.substr(0, 40), plainly.out.substr(0, 40)) << "the edits change the text";
}

TEST(HooksOption, EveryCommandWithEditsHasBoth) {
  for (const auto& [command, options] : option_table()) {
    const bool edits = find_option(command, "--edit") != nullptr;
    EXPECT_TRUE(!edits || find_option(command, "--hooks")) << command;
    EXPECT_EQ(find_option(command, "--save-hooks") != nullptr, edits) << command;
  }
}

TEST(HooksOption, WhatTheCommandHasNoOptionForIsRejected) {
  const TempFolder folder;
  const auto refusal = [&](const std::string& json, const Words& more = {}) {
    const std::string plan = folder.write("plan.json", json);
    const CliResult result =
        run_cli(joined({"score", "--model", plain(), "--ids", "5,9,77", "--hooks", plan}, more));
    EXPECT_EQ(result.status, 2) << result.out;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    return result.err;
  };
  EXPECT_TRUE(
      says(refusal(R"({"captures": ["hook_embed"]})"), "plan.json", "captures", "no --capture"));
  EXPECT_TRUE(says(refusal(R"({"seed": 1})"), "seed", "no --seed"));
  EXPECT_TRUE(says(refusal(R"({"edit": []})"), "unknown field 'edit'"));
  EXPECT_TRUE(says(refusal(R"({"edits": ["blocks.0.hook_nothing=zero"]})"), "hook_nothing"));
  EXPECT_TRUE(says(refusal("{}", {"--save-hooks", folder / "x.json"}), "nothing to save"));
  EXPECT_FALSE(std::filesystem::exists(folder / "x.json"));
  const std::string seeded = folder.write("seeded.json", R"({"seed": 1})");
  const CliResult twice = run_cli({"generate", "--model", plain(), "--ids", "5", "--temperature",
                                   "1", "--hooks", seeded, "--seed", "2"});
  EXPECT_EQ(twice.status, 2);
  EXPECT_TRUE(says(twice.err, "seeded.json: seed", "also given by --seed"));
  const CliResult missing = run_cli({"score", "--ids", "5", "--hooks", folder / "none.json"});
  EXPECT_EQ(missing.status, 2);
  EXPECT_TRUE(says(missing.err, "none.json"));
}

TEST(HooksOption, ARunThatFailsSavesNothing) {
  const TempFolder folder;
  const CliResult result =
      run_cli({"score", "--model", plain(), "--ids", "5,9", "--edit", "blocks.99.hook_mlp_out=zero",
               "--save-hooks", folder / "plan.json"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace vitrine::testing
