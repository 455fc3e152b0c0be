// SPDX-License-Identifier: MIT
// `vitrine bench`: its table, its JSON, what it refuses, how it is ended. How fast anything is, no
// test says.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/csv.h"
#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// The smallest run, with additional options.
std::vector<std::string> quick(const std::vector<std::string>& more,
                               const std::string& repeat = "1", const std::string& prompt = "8") {
  std::vector<std::string> arguments = {"bench",     "--model", plain(),    "--prompt", prompt,
                                        "--threads", "1",       "--repeat", repeat};
  const bool decodes = std::find(more.begin(), more.end(), "forward") == more.end();
  if (decodes) arguments.insert(arguments.end(), {"--tokens", "2"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Bench, TheTableHasItsColumnsAndTheFileTheSameRows) {
  TempFolder folder;
  const CliResult result = run_cli(quick({"--width", "0", "--out", folder / "bench.json"}));
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* word : {"| model",
                           "| dtype",
                           "| test",
                           "| hooks",
                           " ms |",
                           "min .. max |",
                           " noise |",
                           " rate |",
                           " of floor |",
                           "| ratio",
                           " memory |",
                           "memory",
                           "from pages of 4 KB",
                           "barrier",
                           "disk",
                           "arithmetic",
                           "commit",
                           "forward 1 x 8 tokens",
                           "decode batch 1 after",
                           "linear unembedding x 64",
                           "attention 1 x 8 tokens",
                           "residual",
                           "maps"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
  }
  const Json json = read_json(folder / "bench.json");
  EXPECT_EQ(json["command"], "bench");
  EXPECT_EQ(json["complete"], true);
  const auto lines = static_cast<size_t>(std::count(result.out.begin(), result.out.end(), '|'));
  EXPECT_EQ(lines, (json["rows"].size() + 2) * 12) << "head, line, rows: each of eleven columns";
}

TEST(Bench, JsonHoldsTheMachineAndEverySample) {
  const CliResult result = run_cli(quick({"--format", "json", "--workload", "forward,decode",
                                          "--hooks", "none,everything", "--dtype", "f32,f16"},
                                         "2"));
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  for (const char* fact : {"date", "cpu", "cores", "compiler", "flags", "commit", "rates"})
    EXPECT_TRUE(json["machine"].contains(fact)) << fact;
  ASSERT_EQ(json["machine"]["rates"].size(), 1u);
  const Json& rates = json["machine"]["rates"][0];
  EXPECT_EQ(rates["bytes_per_second"]["samples"].size(), 2u);
  EXPECT_GT(rates["operations_per_second"]["f16"]["rate"]["median"], 0);
  EXPECT_EQ(rates["threads"], 1);
  EXPECT_GT(rates["small_pages_bytes_per_second"]["median"], 0);
  EXPECT_GT(rates["barrier_seconds"]["median"], 0);
  EXPECT_FALSE(json["machine"].contains("disk")) << "nothing writes";
  ASSERT_EQ(json["rows"].size(), 8u);
  const Json& row = json["rows"][1];
  EXPECT_EQ(row["workload"], "forward");
  EXPECT_EQ(row["hooks"], "everything");
  EXPECT_EQ(row["dtype"], "f32");
  EXPECT_EQ(row["device"], "cpu");
  EXPECT_EQ(row["threads"], 1);
  EXPECT_EQ(row["seconds"]["samples"].size(), 2u);
  EXPECT_EQ(row["seconds"]["count"], 2);
  EXPECT_DOUBLE_EQ(row["noise"],
                   (row["seconds"]["max"].get<double>() - row["seconds"]["min"].get<double>()) /
                       row["seconds"]["median"].get<double>());
  EXPECT_EQ(row["ratio"]["samples"].size(), 2u);
  EXPECT_EQ(row["against"], "none");
  EXPECT_GT(row["rate"], 0);
  EXPECT_GT(row["floor_seconds"], 0);
  EXPECT_GT(row["share_of_floor"], 0);
  EXPECT_GT(row["captured_bytes"], 0);
  EXPECT_GT(row["peak_bytes"], 0);
  EXPECT_EQ(row["device_bytes"], nullptr);
  EXPECT_EQ(json["rows"][0]["captured_bytes"], 0);
}

TEST(Bench, BesideLoad) {
  const CliResult text =
      run_cli(quick({"--width", "0", "--workload", "forward", "--hooks", "none", "--beside-load"}));
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_TRUE(says(text.out, "loaded ms", "loaded / quiet"));
  const CliResult result =
      run_cli(quick({"--json", "--workload", "forward", "--hooks", "none", "--beside-load"}));
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["options"]["beside_load"], true);
  ASSERT_EQ(json["rows"].size(), 1u);
  const Json& row = json["rows"][0];
  EXPECT_EQ(row["loaded_seconds"]["count"], row["seconds"]["count"]);
  EXPECT_GT(row["loaded_ratio"]["median"], 0);
  const CliResult quiet = run_cli(quick({"--json", "--workload", "forward", "--hooks", "none"}));
  EXPECT_EQ(Json::parse(quiet.out)["rows"][0]["loaded_seconds"], nullptr);
  EXPECT_EQ(Json::parse(quiet.out)["options"]["beside_load"], false);
}

/// One row of a file to compare with, of the forward pass that `quick` measures.
std::string file_with(double seconds, const std::string& hooks) {
  return Json({{"peer", "a peer 2"},
               {"machine", {{"cores", 100000}}},
               {"rows",
                {{{"model", plain()},
                  {"dtype", "f32"},
                  {"device", "cpu"},
                  {"threads", 1},
                  {"workload", "forward"},
                  {"shape", "1 x 8 tokens"},
                  {"hooks", hooks},
                  {"seconds",
                   {{"median", seconds}, {"min", seconds}, {"max", seconds}, {"count", 3}}}}}}})
      .dump();
}

// No machine takes an hour, or a nanosecond, for such a pass: what is faster and slower is certain.
TEST(Bench, CsvStandsBesideAnEarlierRunAndAPeer) {
  TempFolder folder;
  const CliResult result = run_cli(
      quick({"--workload", "forward", "--hooks", "none,maps", "--format", "csv", "--compare",
             folder.write("old.json", file_with(3600, "none")), "--baseline",
             folder.write("peer.json", file_with(1e-9, "none")), "--out", folder / "bench.json"},
            "2"));
  ASSERT_EQ(result.status, 0) << result.err;
  const std::vector<CsvRow> csv = parse_csv(result.out, "the output");
  ASSERT_EQ(csv.size(), 3u) << result.out;
  const auto cell = [&](size_t row, const std::string& name) {
    const auto& names = csv[0].fields;
    return csv[row].fields.at(
        static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin()));
  };
  const Json json = read_json(folder / "bench.json");
  for (size_t row : {1, 2}) {
    const Json& same = json["rows"][row - 1];
    EXPECT_EQ(cell(row, "model"), plain());
    EXPECT_EQ(cell(row, "device"), "cpu");
    EXPECT_EQ(cell(row, "threads"), "1");
    EXPECT_EQ(cell(row, "workload"), "forward");
    EXPECT_EQ(cell(row, "shape"), "1 x 8 tokens");
    EXPECT_EQ(cell(row, "hooks"), same["hooks"]);
    EXPECT_EQ(std::stod(cell(row, "seconds_median")), same["seconds"]["median"]);
    EXPECT_EQ(std::stod(cell(row, "seconds_max")), same["seconds"]["max"]);
    EXPECT_EQ(cell(row, "count"), "2");
    EXPECT_EQ(cell(row, "peak_bytes"), same["peak_bytes"].dump());
    EXPECT_EQ(cell(row, "commit"), json["machine"]["commit"]);
  }
  EXPECT_EQ(cell(1, "change"), "faster");
  EXPECT_EQ(cell(1, "against_peer"), "slower");
  EXPECT_EQ(std::stod(cell(1, "before_seconds")), 3600);
  EXPECT_EQ(cell(2, "change"), "") << "the file has no row with maps";
  EXPECT_EQ(json["rows"][0]["compare"]["verdict"], "faster");
  EXPECT_EQ(json["rows"][0]["baseline"]["seconds"]["median"], 1e-9);
  EXPECT_FALSE(json["rows"][1].contains("compare"));
  EXPECT_EQ(json["compare"]["only_here"].size(), 1u);
  EXPECT_EQ(json["compare"]["only_there"].size(), 0u);
  EXPECT_NE(json["baseline"]["machine_difference"].get<std::string>().find("100000"),
            std::string::npos);
}

TEST(Bench, MarkdownIsATableAndSaysWhatOnlyOneSideHas) {
  TempFolder folder;
  const CliResult result =
      run_cli(quick({"--workload", "forward", "--hooks", "none", "--format", "md", "--compare",
                     folder.write("old.json", file_with(3600, "residual"))},
                    "2", "4,8"));
  ASSERT_EQ(result.status, 0) << result.err;
  std::istringstream lines(result.out);
  std::vector<std::string> table;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("|"))
      table.push_back(line);
    else
      EXPECT_TRUE(line.empty() || line.starts_with("- ")) << line;
  }
  ASSERT_EQ(table.size(), 4u) << "head, rule and two rows\n" << result.out;
  for (const std::string& line : table)
    EXPECT_EQ(std::count(line.begin(), line.end(), '|'),
              std::count(table[0].begin(), table[0].end(), '|'))
        << line;
  EXPECT_EQ(table[1].find_first_not_of("| -:"), std::string::npos) << table[1];
  for (const char* said : {"a peer 2", "there 100000", "only here: ", "forward 1 x 4 tokens'",
                           "only there: ", "hooks residual", "- commit: "}) {
    EXPECT_NE(result.out.find(said), std::string::npos) << said << "\n" << result.out;
  }
}

TEST(Bench, RefusesWhatItDoesNotKnow) {
  const auto refused = [](const std::vector<std::string>& more,
                          const std::vector<std::string>& words) {
    std::vector<std::string> arguments = {"bench"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CliResult result = run_cli(arguments);
    SCOPED_TRACE(Json(arguments).dump() + "\n" + result.err);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    for (const std::string& word : words)
      EXPECT_NE(result.err.find(word), std::string::npos) << word;
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
  refused({"--threads", "1,none"}, {"--threads", "none"});
  refused({"--compare", "/nowhere/old.json"}, {"/nowhere/old.json"});
  TempFolder folder;
  refused(
      {"--baseline", folder.write("peer.json", R"({"peer": "a", "rows": [{"model": "gpt2"}]})")},
      {"peer.json", "rows[0]", "dtype"});
}

TEST(Bench, InterruptedItHandsOverWhatItHas) {
  TempFolder folder;
  // Before the first measurement there is nothing to hand over; on a busy machine that takes
  // longer.
  for (const useconds_t wait : {500'000, 2'000'000, 8'000'000}) {
    const CliResult result =
        run_cli(quick({"--out", folder / "bench.json"}, "10000"), {.meanwhile = [&](pid_t child) {
                  usleep(wait);
                  kill(child, SIGINT);
                }});
    EXPECT_EQ(result.status, -SIGINT);
    EXPECT_EQ(result.err, "");
    if (std::filesystem::exists(folder / "bench.json")) break;
  }
  EXPECT_EQ(read_json(folder / "bench.json")["complete"], false);
}

/// Of a running process and its threads.
double cpu_seconds(pid_t process) {
  std::ifstream stat(fmt::format("/proc/{}/stat", process));
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(text.find(')') + 1));  // the program's name may have blanks
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

TEST(Bench, ATerminalIsToldHowFarItIsAndHowLongItTakes) {
  const CliResult result = run_cli(quick({"--workload", "forward", "--hooks", "none"}, "10000"),
                                   {.terminal = true, .meanwhile = [](pid_t child) {
                                      // The first second shows nothing. On a busy machine the
                                      // child gets its seconds later.
                                      usleep(2500000);
                                      for (int i = 0; i < 600 && cpu_seconds(child) < 2; ++i)
                                        usleep(100000);
                                      kill(child, SIGINT);
                                    }});
  EXPECT_EQ(result.status, -SIGINT);
  for (const char* word : {"the machine", " measurements, ", "/s, ", " left"})
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
}

}  // namespace
}  // namespace vitrine::testing
