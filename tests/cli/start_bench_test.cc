// SPDX-License-Identifier: MIT
// How `vitrine bench` finds the program that measures, and what it says where there is none.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// A prefix with a copy of the command in bin/ and nothing beside it.
class StartBench : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_.path() / "bin");
    fs::copy_file(VITRINE_BINARY, command());
  }

  fs::path command() const { return folder_.path() / "bin" / "vitrine"; }

  /// A program that prints its name and its arguments in brackets.
  void put_program(const std::string& folder, const std::string& name = "vitrine-bench") {
    fs::create_directories(folder_.path() / folder);
    const fs::path program = folder_.path() / folder / name;
    std::ofstream(program) << "#!/bin/sh\necho '" << folder << "'\nprintf '[%s]' \"$@\"\nexit 3\n";
    fs::permissions(program, fs::perms::owner_all);
  }

  /// Both streams, in turn; PATH is the prefix's path/ alone.
  CliResult run(const std::string& arguments) {
    const std::string line = "PATH='" + (folder_.path() / "path").string() + "' '" +
                             command().string() + "' " + arguments + " 2>&1";
    FILE* pipe = popen(line.c_str(), "r");
    CliResult result;
    std::array<char, 4096> part;
    while (const size_t count = fread(part.data(), 1, part.size(), pipe))
      result.out.append(part.data(), count);
    result.status = WEXITSTATUS(pclose(pipe));
    return result;
  }

  TempFolder folder_;
};

TEST_F(StartBench, SaysInOneLineWhatIsMissingAndHowToBuildIt) {
  const CliResult result = run("bench --size gpt2");
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1) << result.out;
  for (const std::string& word :
       {std::string("vitrine-bench"), (folder_.path() / "bin").string(), std::string("PATH"),
        std::string("cmake --build build --target vitrine_bench_cli")}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
  }
}

TEST_F(StartBench, GivesTheSameArgumentsToTheNearestProgram) {
  const std::string arguments = "bench --size gpt2 --text 'a  b' --out x";
  const std::string given = "\n[--size][gpt2][--text][a  b][--out][x]";
  for (const char* folder : {"path", "libexec/vitrine", "bin"}) {  // each before the ones before it
    put_program(folder);
    const CliResult result = run(arguments);
    EXPECT_EQ(result.out, folder + given);
    EXPECT_EQ(result.status, 3) << "its exit status is the command's";
  }
}

TEST_F(StartBench, ExplainsAndRefusesOptionsWithoutTheProgram) {
  const CliResult help = run("bench --help");
  EXPECT_EQ(help.status, 0);
  for (const char* word : {"--workload", "saliency", "--hooks", "residual+mlp", "gpt2-xl"})
    EXPECT_NE(help.out.find(word), std::string::npos) << word;
  const CliResult refused = run("bench --sise gpt2");
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.out.find("--sise"), std::string::npos) << refused.out;
}

}  // namespace
}  // namespace vitrine::testing
