// SPDX-License-Identifier: MIT
// `vitrine completions` and `vitrine man` offer what --help shows, in the form that their readers
// accept.

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
namespace {

using Names = std::set<std::string>;
/// The options of each command, by its name; "" is `vitrine` itself.
using Table = std::map<std::string, Names>;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string output_of(const std::vector<std::string>& arguments) {
  const CliResult result = run_cli(arguments);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return result.out;
}

Names options_in_help(const std::string& help) {
  Names names;
  for (const std::string& line : lines_of(help)) {
    if (!line.starts_with("  -")) continue;
    std::istringstream in(line.substr(2, line.find(' ', 2) - 2));
    for (std::string name; std::getline(in, name, ',');) names.insert(name);
  }
  return names;
}

const Table& table_of_help() {
  static const Table table = [] {
    const std::string top = output_of({"--help"});
    Table result{{"", options_in_help(top)}};
    static const std::regex kCommand("^  ([a-z-]+)  .*");
    const std::string list = top.substr(top.find("\nSubcommands:"));
    for (const std::string& line : lines_of(list)) {
      std::smatch match;
      if (std::regex_match(line, match, kCommand)) {
        result[match[1]] = options_in_help(output_of({match[1], "--help"}));
      }
    }
    return result;
  }();
  return table;
}

/// Words that a shell, sourcing the script, prints; skips the test without that shell.
class Completions : public ::testing::Test {
 protected:
  void use(const std::string& shell) {
    if (std::system(("command -v " + shell + " >/dev/null").c_str()) != 0) {
      GTEST_SKIP() << shell << " is not installed";
    }
    script_ = output_of({"completions", shell});
    file_ = folder_.write("script", script_);
    EXPECT_EQ(std::system((shell + " -n '" + file_.string() + "'").c_str()), 0);
  }
  std::string shell_output(const std::string& command) {
    const auto out = folder_ / "out";
    EXPECT_EQ(std::system(("{ " + command + "; } >'" + out.string() + "'").c_str()), 0) << command;
    return read_bytes(out);
  }

  TempFolder folder_;
  std::string script_;
  std::filesystem::path file_;
};

TEST(HelpExport, HelpNamesCommandsAndOptions) {  // what the other tests compare with
  EXPECT_GE(table_of_help().size(), 22u);
  EXPECT_TRUE(table_of_help().at("lens").contains("--prompt"));
  EXPECT_TRUE(table_of_help().at("lens").contains("-p"));
  EXPECT_FALSE(table_of_help().contains("completions"));
}

TEST_F(Completions, BashOffersWhatHelpShows) {
  use("bash");
  if (IsSkipped()) return;
  const std::string script = folder_.write("words.bash", R"(
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_vitrine
printf '%s\n' "${COMPREPLY[@]}"
)");
  const auto offered = [&](const std::string& words) {
    Names names;
    const std::string command = "bash '" + script + "' '" + file_.string() + "' vitrine " + words;
    for (const std::string& line : lines_of(shell_output(command))) names.insert(line);
    return names;
  };
  Names first = table_of_help().at("");
  for (const auto& [command, options] : table_of_help()) {
    if (command.empty()) continue;
    first.insert(command);
    EXPECT_EQ(offered(command + " ''"), options) << command;
  }
  EXPECT_EQ(offered("''"), first);
  EXPECT_EQ(offered("lens --show ''"), (Names{"ranks", "grid", "both"}));
  EXPECT_EQ(offered("lens --show g"), (Names{"grid"}));
  EXPECT_EQ(offered("lens --prompt a --sh"), (Names{"--show"}));
  EXPECT_EQ(offered("lens --out ''"), (Names{""})) << "files are bash's own default";
}

TEST_F(Completions, ZshSpecifiesWhatHelpShows) {
  use("zsh");
  if (IsSkipped()) return;
  Table table;
  std::string command;
  static const std::regex kCase("        ([a-z-]+)\\)"), kOption(" +'\\*(--?[A-Za-z0-9-]+)\\[.*");
  for (const std::string& line : lines_of(script_)) {
    std::smatch match;
    if (std::regex_match(line, match, kCase)) command = match[1];
    if (std::regex_match(line, match, kOption)) table[command].insert(match[1]);
  }
  EXPECT_EQ(table, table_of_help());
}

TEST_F(Completions, FishOffersWhatHelpShows) {
  use("fish");
  if (IsSkipped()) return;
  const auto offered = [&](const std::string& line) {
    Names names;
    const std::string command =
        "fish --no-config -c 'source " + file_.string() + "; complete -C \"vitrine " + line + "\"'";
    for (const std::string& found : lines_of(shell_output(command))) {
      names.insert(found.substr(0, found.find('\t')));
    }
    return names;
  };
  for (const char* command : {"lens", "bench", "doctor"}) {
    EXPECT_EQ(offered(std::string(command) + " -"), table_of_help().at(command)) << command;
  }
  EXPECT_EQ(offered("lens --show "), (Names{"ranks", "grid", "both"}));
  Names commands;
  for (const auto& [command, options] : table_of_help()) commands.insert(command);
  commands.erase("");
  EXPECT_EQ(offered(""), commands);
}

TEST(HelpExport, ManualPageHasEachCommandAndOption) {
  const std::string page = output_of({"man"});
  EXPECT_TRUE(page.starts_with(".TH VITRINE 1 "));
  static const std::regex kHyphen("-");
  const auto roff = [](const std::string& name) {
    return std::regex_replace(name, kHyphen, "\\-");
  };
  for (const auto& [command, options] : table_of_help()) {
    const size_t begin = page.find(command.empty() ? ".SH DESCRIPTION" : ".SS " + roff(command));
    ASSERT_NE(begin, std::string::npos) << command;
    const std::string section = page.substr(begin, page.find("\n.S", begin) - begin);
    for (const std::string& option : options) {
      if (!command.empty() && (option == "-h" || option == "--help")) continue;
      EXPECT_NE(section.find("\\fB" + roff(option) + "\\fR"), std::string::npos)
          << command << ' ' << option;
    }
  }
}

TEST_F(Completions, RoffReadsTheManualPageWithoutWarnings) {
  if (std::system("command -v groff >/dev/null") != 0) GTEST_SKIP() << "groff is not installed";
  const std::string page = folder_.write("vitrine.1", output_of({"man"}));
  EXPECT_EQ(shell_output("groff -man -ww -Tutf8 -Kutf8 '" + page + "' 2>&1 >/dev/null"), "");
}

TEST(HelpExport, RejectsUnknownShells) {
  const CliResult result = run_cli({"completions", "csh"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("csh"), std::string::npos);
  EXPECT_EQ(run_cli({"completions"}).status, 2);
}

}  // namespace
}  // namespace vitrine::testing
