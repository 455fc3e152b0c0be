// `vitrine bench`: its table, its JSON, what it refuses, how it is ended. How fast anything is, no test says.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
namespace {

std::string plain() { return (std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain").string(); }

/// The smallest run there is, and what is asked for on top.
std::vector<std::string> quick(const std::vector<std::string>& more, const std::string& repeat = "1") {
  std::vector<std::string> arguments = {"bench", "--model", plain(), "--prompt", "8", "--tokens", "2", "--threads", "1", "--repeat", repeat};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Bench, TheTableHasItsColumnsAndTheFileTheSameRows) {
  TempFolder folder;
  const CliResult result = run_cli(quick({"--width", "0", "--out", folder / "bench.json"}));
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* word : {"| model", "| dtype", "| test", "| hooks", " ms |", "min .. max |", " rate |", " of floor |", "| ratio", "memory", "arithmetic",
                           "commit", "forward 1 x 8 tokens", "decode batch 1 after", "linear unembedding x 64", "attention 1 x 8 tokens", "residual", "maps"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
  }
  const Json json = read_json(folder / "bench.json");
  EXPECT_EQ(json["command"], "bench");
  EXPECT_EQ(json["complete"], true);
  const auto lines = static_cast<size_t>(std::count(result.out.begin(), result.out.end(), '|'));
  EXPECT_EQ(lines, (json["rows"].size() + 2) * 10) << "head, line, rows: each of nine columns";
}

TEST(Bench, JsonHoldsTheMachineAndEverySample) {
  const CliResult result = run_cli(quick({"--format", "json", "--workload", "forward,decode", "--hooks", "none,everything", "--dtype", "f32,f16"}, "2"));
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  for (const char* fact : {"date", "cpu", "cores", "compiler", "flags", "commit", "rates"}) EXPECT_TRUE(json["machine"].contains(fact)) << fact;
  EXPECT_EQ(json["machine"]["rates"]["bytes_per_second"]["samples"].size(), 2u);
  EXPECT_GT(json["machine"]["rates"]["operations_per_second"]["f16"]["rate"]["median"], 0);
  ASSERT_EQ(json["rows"].size(), 8u);
  const Json& row = json["rows"][1];
  EXPECT_EQ(row["workload"], "forward");
  EXPECT_EQ(row["hooks"], "everything");
  EXPECT_EQ(row["dtype"], "f32");
  EXPECT_EQ(row["seconds"]["samples"].size(), 2u);
  EXPECT_EQ(row["ratio"]["samples"].size(), 2u);
  EXPECT_EQ(row["against"], "none");
  EXPECT_GT(row["rate"], 0);
  EXPECT_GT(row["floor_seconds"], 0);
  EXPECT_GT(row["share_of_floor"], 0);
  EXPECT_GT(row["captured_bytes"], 0);
  EXPECT_EQ(json["rows"][0]["captured_bytes"], 0);
}

TEST(Bench, RefusesWhatItDoesNotKnow) {
  const auto refused = [](const std::vector<std::string>& more, const std::vector<std::string>& words) {
    std::vector<std::string> arguments = {"bench"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CliResult result = run_cli(arguments);
    SCOPED_TRACE(Json(arguments).dump() + "\n" + result.err);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    for (const std::string& word : words) EXPECT_NE(result.err.find(word), std::string::npos) << word;
  };
  refused({"--size", "gpt3"}, {"--size", "gpt3", "gpt2-xl"});
  refused({"--size", "gpt2", "--model", plain()}, {"--size", "--model"});
  refused({"--dtype", "f32,f8"}, {"--dtype", "f8", "bf16"});
  refused({"--workload", "training"}, {"--workload", "training", "decode"});
  refused({"--hooks", "none,some"}, {"--hooks", "some", "residual"});
  refused({"--batch", "0"}, {"--batch", "0"});
  refused({"--batch", "two"}, {"--batch", "two"});
  refused({"--repeat", "0"}, {"--repeat", "0"});
  refused({"--format", "xml"}, {"--format", "xml"});
  refused({"--device", "gpu"}, {"gpu", "cuda"});
  refused({"--prompt", "1025"}, {"1025", "1024", "--prompt"});
  refused({"--tokens", "1024"}, {"1024", "--tokens"});
  refused({"--model", plain(), "--prompt", "17"}, {"17", "16"});
  refused({"--model", "/nowhere"}, {"/nowhere"});
  refused({"--model", plain(), "--out", "/nowhere/bench.json"}, {"/nowhere"});
}

TEST(Bench, InterruptedItHandsOverWhatItHas) {
  TempFolder folder;
  const CliResult result = run_cli(quick({"--out", folder / "bench.json"}, "10000"), {.meanwhile = [](pid_t child) {
                                     usleep(500000);
                                     kill(child, SIGINT);
                                   }});
  EXPECT_EQ(result.status, -SIGINT);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(read_json(folder / "bench.json")["complete"], false);
}

}  // namespace
}  // namespace vitrine::testing
