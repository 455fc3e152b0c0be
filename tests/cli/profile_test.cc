// SPDX-License-Identifier: MIT
// VITRINE_PROFILE=1 and `vitrine bench --profile`: a table on stderr, and the same output.

#include <gtest/gtest.h>

#include <algorithm>

#include "runner.h"

namespace vitrine::testing {
using namespace internal;
namespace {

CliResult lens_with(const std::string& profile) {
  return run_cli({"lens", "--model", plain(), "--ids", "5,9,77,3", "--threads", "1"},
                 {.environment = {{"VITRINE_PROFILE", profile}}});
}

void expect_table(const std::string& text) {
  for (const char* word : {"profile of cpu (", "operation", "calls", "share", "GB/s", "GFLOP/s",
                           "\nlayernorm ", "\nlinear ", "\nattention ", "\ntotal "}) {
    EXPECT_NE(text.find(word), std::string::npos) << word << "\n" << text;
  }
}

TEST(ProfileOutput, ATableOnStderrAndTheSameOutput) {
  const CliResult off = lens_with(""), zero = lens_with("0"), on = lens_with("1");
  for (const CliResult* result : {&off, &zero, &on}) {
    EXPECT_EQ(result->status, 0) << result->err;
    EXPECT_EQ(result->out, off.out);
  }
  EXPECT_EQ(off.err, "");
  EXPECT_EQ(zero.err, "");
  expect_table(on.err);
}

TEST(ProfileOutput, RefusesAnUnknownValue) {
  for (const char* value : {"yes", "2", "01"}) {
    const CliResult result = lens_with(value);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const char* word : {"VITRINE_PROFILE", value, "0 or 1"})
      EXPECT_NE(result.err.find(word), std::string::npos) << word << "\n" << result.err;
  }
}

TEST(ProfileOutput, BenchHasAnOptionForIt) {
  const std::vector<std::string> arguments = {
      "bench",    "--model", plain(),      "--prompt", "8",       "--threads", "1",
      "--repeat", "1",       "--workload", "forward",  "--hooks", "none",      "--profile"};
  const CliResult result = run_cli(arguments);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("forward 1 x 8 tokens"), std::string::npos) << result.out;
  expect_table(result.err);
}

}  // namespace
}  // namespace vitrine::testing
