// SPDX-License-Identifier: MIT
// How the command ends: 1 for the machine, 2 for the user, 3 for an incomplete corpus.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "runner.h"
#include "tests/base/test_files.h"
#include "tests/sanitized.h"

namespace vitrine::testing {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

void expect_ends(const Words& arguments, int status, const Words& said,
                 const CliOptions& options = {}) {
  const CliResult result = run_cli(arguments, options);
  SCOPED_TRACE(Json(arguments).dump() + "\n" + result.err);
  EXPECT_EQ(result.status, status);
  // A library for fonts may complain about its own cache before our line.
  const size_t line = result.err.find("vitrine: ");
  EXPECT_NE(line, std::string::npos);
  EXPECT_EQ(
      std::count(result.err.begin() + static_cast<std::ptrdiff_t>(line), result.err.end(), '\n'),
      1);
  for (const std::string& word : said) EXPECT_NE(result.err.find(word), std::string::npos) << word;
}

int shell_status(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// A run of every command that writes a file of more than a few bytes, into a folder.
std::vector<Words> writing_runs(const TempFolder& folder) {
  const std::string out = folder / "out";
  const std::string corpus = folder.write("corpus.jsonl", [] {
    std::string lines;
    for (int i = 0; i < 64; ++i) lines += "{\"ids\": [1,2,3,4,5,6,7,8,9,10]}\n";
    return lines;
  }());
  const Words model = {"--model", plain()}, ids = {"--model", plain(), "--ids", "1,2,3,4,5,6,7,8"};
  const auto with = [](const Words& first, const Words& more) {
    Words all = first;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Words capture = with(with({"capture"}, ids), {"--capture", "blocks.0.mlp.hook_post"});
  return {with(capture, {"--out", out + "/x.safetensors"}),
          with(capture, {"--out", out + "/x.npy"}),
          with(capture, {"--out", out + "/many/"}),
          with(with({"lens"}, ids), {"--out", out + "/x.safetensors"}),
          with(with({"lens"}, ids), {"--html", out + "/x.html"}),
          with(with({"lens"}, ids), {"--svg", out + "/x.svg"}),
          with(with({"attention"}, ids), {"--png", out + "/x.png"}),
          with(with({"attention"}, ids), {"--position", "all", "--out", out + "/x.safetensors"}),
          with(with({"lens", "--fit", corpus}, model), {"--translators", out + "/lens"}),
          with(with({"covariance", corpus, "--capture", "blocks.0.hook_resid_post"}, model),
               {"--out", out + "/x.safetensors"}),
          with(with({"covariance", corpus, "--capture", "blocks.0.hook_resid_post"}, model),
               {"--state", out + "/x.safetensors"}),
          with(with({"corpus", corpus, "--capture", "blocks.0.hook_resid_post"}, model),
               {"--out", out + "/acts"}),
          {"make-random", out + "/model", "--layers", "1", "--heads", "1", "--width", "16",
           "--vocab", "300", "--context", "16"},
          {"convert", plain(), "--out", out + "/converted"},
          {"convert", plain(), "--out", out + "/x.safetensors"}};
}

TEST(ExitStatus, AFullDiskIsTheMachines) {
  TempFolder folder;
  for (const Words& run : writing_runs(folder)) {
    fs::create_directory(folder / "out");
    expect_ends(run, 1, {"File too large"}, {.file_size_limit = 1024});
    for (const auto& entry : fs::recursive_directory_iterator(folder / "out")) {
      EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
      EXPECT_TRUE(run[0] == "corpus" || run[0] == "covariance" || run[1] == "--fit")
          << entry.path() << " is left";
    }
    fs::remove_all(folder / "out");
  }
}

TEST(ExitStatus, APathThatCannotBeWrittenIsTheUsers) {
  TempFolder folder;
  const std::vector<Words> runs = writing_runs(folder);
  folder.write("out", "a file where a folder is expected");
  for (const Words& run : runs) expect_ends(run, 2, {folder.path().string()});
}

TEST(ExitStatus, StandardOutputThatFailsIsTheMachines) {
  const std::string program = std::string(VITRINE_BINARY) + " ", end = " >/dev/full 2>/dev/null";
  for (const std::string& words :
       {"sites --model " + plain(), "sites --json --model " + plain(),
        "generate --model " + plain() + " --ids 1,2 -n 2", std::string("--help"),
        std::string("lens --help"), std::string("--version"), std::string("man"),
        std::string("completions bash")}) {
    EXPECT_EQ(shell_status(program + words + end), 1) << words;
  }
}

TEST(ExitStatus, ADiskThatIsTooSmallIsTheMachines) {
  TempFolder folder;
  expect_ends({"make-random", folder / "model", "--layers", "1", "--heads", "1", "--width",
               "131072", "--vocab", "1073741824", "--context", "16"},
              1, {"model"});  // 500 TB
  EXPECT_EQ(folder.count(), 0u);
}

TEST(ExitStatus, NoMemoryIsTheMachines) {
  if (kSanitized) GTEST_SKIP() << "sanitizers reserve more address space than the limit";
  TempFolder folder;
  const std::string err = folder / "err", model = folder / "model";
  ASSERT_EQ(run_cli({"make-random", model, "--layers", "1", "--heads", "16", "--width", "16",
                     "--vocab", "300", "--context", "16384"})
                .status,
            0);
  std::string ids = "1";  // whose attention maps take 17 GB
  for (int i = 1; i < 16384; ++i) ids += ",1";
  const std::string command = "ulimit -v 4000000; " + std::string(VITRINE_BINARY) +
                              " attention --threads 1 --position all --model " + model + " --ids " +
                              ids + " >/dev/null 2>" + err;
  EXPECT_EQ(shell_status(command), 1) << read_bytes(err);
  EXPECT_NE(read_bytes(err).find("memory"), std::string::npos) << read_bytes(err);
}

TEST(ExitStatus, AnIncompleteCorpusIsThree) {
  TempFolder folder;
  const std::string corpus =
      folder.write("corpus.jsonl", "{\"ids\": [1,2,3]}\n{\"ids\": [4,5,6]}\n");
  const auto capture = [&](const char* rank) {
    return run_cli({"corpus", corpus, "--model", plain(), "--capture", "blocks.0.hook_resid_post",
                    "--out", folder / "acts", "--rank", rank, "--world", "2"});
  };
  const Words verify = {"corpus", "--verify", "--out", folder / "acts"};
  EXPECT_EQ(run_cli(verify).status, 2) << "there is nothing to verify";
  EXPECT_EQ(capture("0").status, 0);
  const CliResult half = run_cli(verify);
  EXPECT_EQ(half.status, 3) << half.err;
  EXPECT_NE(half.out.find("incomplete"), std::string::npos);
  Words json = verify;
  json.emplace_back("--json");
  EXPECT_EQ(run_cli(json).status, 3);
  EXPECT_EQ(capture("1").status, 0);
  EXPECT_EQ(run_cli(verify).status, 0);
}

TEST(ExitStatus, ManualAndDocumentHaveTheTable) {
  const Json table = Json::parse(run_cli({"man", "--json"}).out)["exit_statuses"];
  EXPECT_EQ(table.size(), 5u);
  const std::string manual = run_cli({"man"}).out,
                    page = read_bytes(fs::path(VITRINE_SOURCE_DIR) / "docs" / "CLI.md");
  for (const Json& row : table) {
    const std::string status = row["status"], text = row["text"];
    EXPECT_NE(page.find("| " + status + " | " + text + " |"), std::string::npos)
        << "docs/CLI.md lacks: | " << status << " | " << text << " |";
    EXPECT_NE(manual.find(".TP\n\\fB" + status + "\\fR\n" + text.substr(0, text.find('-'))),
              std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace vitrine::testing
