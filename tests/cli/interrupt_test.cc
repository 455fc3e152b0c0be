// SPDX-License-Identifier: MIT
// Ctrl-C: the command ends by the signal, wherever it is, and leaves nothing that is half-written.

#include "cli/core/interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// Documents of 16 ids for the model `plain`.
std::string corpus(const TempFolder& folder, int documents) {
  std::string text;
  for (int i = 0; i < documents; ++i)
    text += "{\"ids\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]}\n";
  return folder.write("corpus.jsonl", text);
}

/// Sends the signal once `begun` is true, or the process has ended.
std::function<void(pid_t)> interrupt_when(std::function<bool()> begun, int signal = SIGINT) {
  return [begun = std::move(begun), signal](pid_t child) {
    for (int i = 0; i < 200000 && !begun(); ++i) usleep(100);
    kill(child, signal);
  };
}

/// Names in the folder that a user did not ask for.
std::vector<std::string> temporaries(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".vitrine-"))
      found.push_back(entry.path().string());
  }
  return found;
}

TEST(Interrupt, AFileThatIsBeingWrittenIsRemoved) {
  const TempFolder folder;
  std::string table;
  for (int column = 0; column < 600; ++column)
    table += (column > 0 ? "," : "") + ("v" + std::to_string(column));
  for (int row = 0; row < 4; ++row) {
    table += "\n";
    for (int column = 0; column < 600; ++column)
      table += (column > 0 ? "," : "") + std::to_string((row * 31 + column * column) % 97);
  }
  folder.write("table.csv", table + "\n");
  const fs::path out = folder / "out";
  fs::create_directory(out);
  const CliResult result = run_cli(
      {"covariance", "--data", folder / "table.csv", "--out", out / "c.safetensors", "--json"},
      {.meanwhile = interrupt_when([&] { return !temporaries(out).empty(); })});
  if (result.status == 0) GTEST_SKIP() << "it had finished before the interruption";
  EXPECT_EQ(result.status, -SIGINT);
  EXPECT_EQ(temporaries(out), std::vector<std::string>{});
}

// In a child, which obeys signals as the commands do.
TEST(InterruptDeathTest, AFileThatBecomesShorterIsNamed) {
  const TempFolder folder;
  const std::string path = folder.write("weights.bin", std::string(1 << 20, 'w'));
  const auto read_what_is_gone = [&] {
    cli::obey_signals();
    const MappedFile file(path);
    fs::resize_file(path, 1);
    [[maybe_unused]] const volatile std::byte last = file.bytes().back();
  };
  EXPECT_EXIT(read_what_is_gone(), ::testing::ExitedWithCode(1),
              "vitrine: .*weights.bin: .*made it shorter");
}

TEST(Interrupt, WorkThatNoticesNothingIsCutOff) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    // It waits for a text that never comes.
    const CliResult result = run_cli({"tokenize", "--model", "demo", "--prompt-file", "-"},
                                     {.keep_input_open = true, .meanwhile = [signal](pid_t child) {
                                        usleep(200000);
                                        kill(child, signal);
                                      }});
    EXPECT_EQ(result.status, -signal);
  }
}

TEST(Interrupt, ASignalThatIsIgnoredFromTheStartStaysIgnored) {
  const TempFolder folder;
  const CliResult result = run_cli(
      {"make-random", folder / "made", "--layers", "60", "--heads", "4", "--width", "128",
       "--vocab", "1000"},
      {.ignores_interrupt = true, .meanwhile = interrupt_when([&] { return folder.count() > 0; })});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(fs::exists(folder / "made" / "model.safetensors"));
}

TEST(Interrupt, CovarianceKeepsWholeBatchesAndGoesOnWithTheSameNumbers) {
  const TempFolder folder;
  const std::string path = corpus(folder, 20000);
  const auto command = [&](const std::string& state, const std::string& batch) {
    return std::vector<std::string>{"covariance",     path,
                                    "--model",        plain(),
                                    "--capture",      "blocks.1.hook_resid_post[neurons=0..3]",
                                    "--batch-tokens", batch,
                                    "--threads",      "1",
                                    "--state",        folder / state};
  };
  const CliResult stopped =
      run_cli(command("s.safetensors", "16"), {.meanwhile = interrupt_when([&] {
                                                 return fs::exists(folder / "s.safetensors") &&
                                                        (usleep(100000), true);
                                               })});
  if (stopped.status == 0) GTEST_SKIP() << "it had finished before the interruption";
  EXPECT_EQ(stopped.status, -SIGINT);
  EXPECT_TRUE(says(stopped.err, "interrupted: the same command resumes from", "s.safetensors"));
  Json resumed = run_json(command("s.safetensors", "512"));
  Json whole = run_json(command("w.safetensors", "512"));
  EXPECT_EQ(resumed["corpus"]["resumed"], true);
  EXPECT_EQ(resumed["corpus"]["tokens"], whole["corpus"]["tokens"]);
  EXPECT_EQ(resumed["sites"], whole["sites"]);
}

TEST(Interrupt, TheProfileSoFarIsPrinted) {
  const TempFolder folder;
  const fs::path out = folder / "out";
  const CliResult result = run_cli(
      {"corpus", corpus(folder, 20000), "--model", plain(), "--capture", "blocks.*.hook_resid_post",
       "--out", out, "--batch-tokens", "1", "--shard-tokens", "500", "--threads", "1"},
      {.environment = {{"VITRINE_PROFILE", "1"}}, .meanwhile = interrupt_when([&] {
                                                    return fs::exists(out / "rank-00000-of-00001" /
                                                                      "manifest.json");
                                                  })});
  if (result.status == 0) GTEST_SKIP() << "it had finished before the interruption";
  EXPECT_EQ(result.status, -SIGINT);
  EXPECT_TRUE(says(result.err, "the same command goes on after the last complete shard",
                   "profile of cpu", "attention"));
  EXPECT_EQ(temporaries(out), std::vector<std::string>{});
}

TEST(Interrupt, GenerationKeepsWhatItHasPrinted) {
  for (const char* samples : {"1", "3"}) {
    const CliResult result =
        run_cli({"generate", "--model", plain(), "--ids", "5,9,77", "--num-samples", samples,
                 "--max-new-tokens", "20", "--threads", "1"},
                {.meanwhile = [](pid_t child) { kill(child, SIGINT); }});
    EXPECT_TRUE(result.status == -SIGINT || result.status == 0) << result.status;
    EXPECT_EQ(result.err, "");
  }
}

}  // namespace
}  // namespace vitrine::testing
