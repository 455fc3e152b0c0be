// SPDX-License-Identifier: MIT
// How the command looks: help, colours, pipes, terminals, interruption.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <regex>
#include <sstream>

#include "cli/core/terminal.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "tests/sanitized.h"
#include "vitrine/version.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr const char* kCommands[] = {"lens",    "saliency", "generate", "score", "windows",
                                     "capture", "tokenize", "sites",    "info",  "bench"};

/// Colours, that is: a progress bar, which a slow machine shows on a terminal, erases its line
/// whatever the colours are.
bool has_escapes(const std::string& text) {
  for (size_t at = text.find("\x1b["); at != std::string::npos; at = text.find("\x1b[", at + 1)) {
    const size_t end = text.find_first_not_of("0123456789;", at + 2);
    if (end != std::string::npos && text[end] == 'm') return true;
  }
  return false;
}

/// One run of each command that shows something.
std::vector<std::vector<std::string>> showings() {
  return {{"lens", "--model", plain(), "--ids", "1,2,3"},
          {"lens", "--model", plain(), "--ids", "1,2,3", "--watch-ids", "4,5", "--cell", "rank"},
          {"saliency", "--model", plain(), "--ids", "1,2,3"},
          {"saliency", "--model", plain(), "--ids", "1,2,3", "-n", "2", "--show", "both",
           "--method", "integrated-gradients"},
          {"saliency", "--model", plain(), "--ids", "1,2,3", "--method", "span-occlusion"},
          {"generate", "--model", plain(), "--ids", "1,2,3", "-n", "2"},
          {"generate", "--model", plain(), "--ids", "1,2,3", "--ids", "4", "-n", "2"},
          {"score", "--model", plain(), "--ids", "1,2,3"},
          {"sites", "--model", plain()},
          {"info", "--model", plain()}};
}

TEST(Output, HelpOfEveryCommand) {
  const CliResult top = run_cli({"--help"});
  EXPECT_EQ(top.status, 0);
  for (const char* command : kCommands) {
    EXPECT_NE(top.out.find(command), std::string::npos);
    const CliResult help = run_cli({command, "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_EQ(help.err, "");
    EXPECT_NE(help.out.find("Examples:\n  vitrine "), std::string::npos) << command;
    EXPECT_NE(help.out.find("--json"), std::string::npos) << command;
    EXPECT_FALSE(has_escapes(help.out));
  }
  const std::string version = run_cli({"--version"}).out;
  const std::regex lines("vitrine " VITRINE_VERSION
                         "\ncommit    ([0-9a-f]{12}( with changes)?|unknown)"
                         "\ncompiler  (GCC|Clang) [0-9.]+.*\nbackends  cpu.*\n");
  EXPECT_TRUE(std::regex_match(version, lines)) << version;
}

TEST(Output, PipedHasNoColoursUnlessAsked) {
  for (std::vector<std::string> arguments : showings()) {
    SCOPED_TRACE(Json(arguments).dump());
    const CliResult piped = run_cli(arguments);
    EXPECT_EQ(piped.status, 0) << piped.err;
    EXPECT_EQ(piped.err, "") << "no progress, no notes";
    EXPECT_FALSE(has_escapes(piped.out));
    arguments.insert(arguments.end(), {"--color", "always"});
    EXPECT_EQ(has_escapes(run_cli(arguments).out), arguments[0] != "tokenize");
  }
}

TEST(Output, TerminalsGetColoursAndTheirWidth) {
  for (std::vector<std::string> arguments : showings()) {
    SCOPED_TRACE(Json(arguments).dump());
    EXPECT_TRUE(has_escapes(run_cli(arguments, {.terminal = true}).out));
    EXPECT_FALSE(has_escapes(
        run_cli(arguments, {.environment = {{"NO_COLOR", "1"}}, .terminal = true}).out));
    EXPECT_FALSE(
        has_escapes(run_cli(arguments, {.environment = {{"TERM", "dumb"}}, .terminal = true}).out));
    arguments.insert(arguments.end(), {"--color", "never"});
    EXPECT_FALSE(has_escapes(run_cli(arguments, {.terminal = true}).out));
  }
}

size_t longest_line(const std::string& text) {
  size_t longest = 0, here = 0;
  for (const char c : text) {
    if (c == '\n')
      here = 0;
    else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80 && c != '\r')
      longest = std::max(longest, ++here);  // characters
  }
  return longest;
}

TEST(Output, PicturesFitTheirWidth) {
  const std::string ids = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16";
  for (const int width : {60, 80, 100, 120, 200}) {
    const CliResult grid =
        run_cli({"lens", "--model", plain(), "--ids", ids, "--width", std::to_string(width)});
    EXPECT_LE(longest_line(grid.out), static_cast<size_t>(width)) << grid.out;
    EXPECT_EQ(grid.out.find("do not fit") != std::string::npos, width < 9 + 16 * 10) << width;
  }
  EXPECT_EQ(
      run_cli({"lens", "--model", plain(), "--ids", ids, "--width", "0"}).out.find("do not fit"),
      std::string::npos);
  for (const int width : {60, 80, 100, 200}) {
    const std::string columns = std::to_string(width);
    const CliResult grid =
        run_cli({"saliency", "--model", plain(), "--ids", "1,2,3,4,5,6,7,8,9,10,11,12", "-n", "4",
                 "--method", "occlusion", "--show", "both", "--width", columns});
    EXPECT_LE(longest_line(grid.out), static_cast<size_t>(width)) << grid.out;
    EXPECT_EQ(grid.out.find("do not fit") != std::string::npos, width < 10 + 15 * 9) << width;
    const CliResult spans =
        run_cli({"saliency", "--model", plain(), "--ids", "1,2,3,4,5,6,7,8,9,10,11,12", "--method",
                 "span-occlusion", "--width", columns});
    EXPECT_LE(longest_line(spans.out), std::max<size_t>(static_cast<size_t>(width), 80))
        << spans.out;
  }
  const CliResult watch = run_cli(
      {"lens", "--model", plain(), "--ids", "1,2", "--watch-ids", "1,2,3,4,5", "--position", "-1"},
      {.terminal = true});
  EXPECT_NE(watch.out.find("more watched tokens do not fit"), std::string::npos);
}

TEST(Output, LinesAreBrokenBetweenWords) {
  const auto words_of = [](const std::string& text) {
    std::vector<std::string> words;
    std::istringstream in(text);
    for (std::string word; in >> word;) words.push_back(word);
    return words;
  };
  const std::string text =
      "name        a long value that \x1b[1mgoes\x1b[0m on and on\n  indented words of a "
      "list\n\n/one/"
      "path/is/whole and more\n";
  for (size_t width = 10; width < 60; ++width) {
    const std::string fitted = cli::fit_lines(text, width);
    EXPECT_EQ(words_of(fitted), words_of(text)) << width;
    std::istringstream lines(fitted);
    for (std::string line; std::getline(lines, line);)
      EXPECT_TRUE(cli::display_width(line) <= width || line == "/one/path/is/whole") << line;
  }
  EXPECT_EQ(cli::fit_lines("name        a value of it\n", 24),
            "name        a value of\n            it\n");
  EXPECT_EQ(cli::fit_lines(text, 60), text);
  EXPECT_EQ(cli::fit_lines("abcdefgh", 3), "abc\ndef\ngh");
}

TEST(Output, AClosedPipeEndsQuietly) {
  const std::string command = std::string(VITRINE_BINARY) + " score --model " + plain() +
                              " --text-file /dev/null 2>/dev/null; " + VITRINE_BINARY +
                              " sites --json --model " + plain() + " 2>&1 >/dev/full; " +
                              VITRINE_BINARY + " sites --json --model " + plain() +
                              " 2>&1 | head -n 1; echo end";
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) text += static_cast<char>(c);
  pclose(pipe);
  EXPECT_EQ(text, "vitrine: cannot write to standard output: No space left on device\n{\nend\n");
}

TEST(Output, InterruptedCaptureLeavesNothing) {
  TempFolder folder;
  std::string prompts;
  for (int i = 0; i < 50000; ++i)
    prompts += "{\"ids\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]}\n";
  folder.write("prompts.jsonl", prompts);
  fs::create_directory(folder / "out");
  for (const char* name : {"x.safetensors", "many/"}) {
    const CliResult result = run_cli(
        {"capture", "--threads", "1", "--model", plain(), "--prompt-file", folder / "prompts.jsonl",
         "--capture", "*hook_resid_post", "--out", folder / "out" / name},
        {.meanwhile = [&](pid_t child) {
          // Until it has begun to write: nothing is more half-written than that.
          for (int i = 0; i < 6000 && fs::is_empty(folder / "out"); ++i) usleep(10000);
          kill(child, SIGINT);
        }});
    EXPECT_EQ(result.status, -SIGINT);
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(fs::is_empty(folder / "out")) << name;
  }
}

TEST(Output, ATerminalSeesProgress) {
  TempFolder folder;
  std::string prompts;
  for (int i = 0; i < (kSanitized ? 10000 : 100000); ++i)
    prompts += "{\"ids\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]}\n";
  folder.write("prompts.jsonl", prompts);
  const auto start = std::chrono::steady_clock::now();
  const CliResult result = run_cli(
      {"capture", "--threads", "1", "--model", plain(), "--prompt-file", folder / "prompts.jsonl",
       "--capture", "*hook_resid_post[positions=-1]", "--out", folder / "x.safetensors"},
      {.terminal = true});
  EXPECT_EQ(result.status, 0) << result.out;
  if (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(1500))
    GTEST_SKIP() << "this machine is too fast to need a progress bar";
  EXPECT_NE(result.out.find("Capturing"), std::string::npos);
  EXPECT_NE(result.out.find("/s, "), std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
