// SPDX-License-Identifier: MIT
// What messages and help texts advise can be followed: the flags in every string of the source tree
// are options of the commands that can print it.

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <set>

#include "option_table.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
namespace {

namespace fs = std::filesystem;

using Names = std::set<std::string>;

struct Text {
  fs::path file;     ///< from the root of the tree
  std::string text;  ///< adjacent literals joined
};

/// The string literals of a C++ source, adjacent ones joined; comments are no text.
std::vector<std::string> literals_of(const std::string& source) {
  static const std::regex kToken(
      R"re(//[^\n]*|R"([A-Za-z]*)\(([\s\S]*?)\)\1"|"((?:[^"\\\n]|\\.)*)"|'(?:[^'\\\n]|\\.)+'|[^\s"'/]+|/)re");
  std::vector<std::string> found;
  bool joins = false;
  for (auto at = std::sregex_iterator(source.begin(), source.end(), kToken);
       at != std::sregex_iterator(); ++at) {
    if ((*at)[0].str().starts_with("//")) continue;
    const bool raw = (*at)[2].matched, text = raw || (*at)[3].matched;
    if (text && joins)
      found.back() += (*at)[raw ? 2 : 3];
    else if (text)
      found.push_back((*at)[raw ? 2 : 3]);
    joins = text;
  }
  return found;
}

const std::vector<Text>& all_texts() {
  static const std::vector<Text> texts = [] {
    std::vector<Text> all;
    const fs::path root = VITRINE_SOURCE_DIR;
    for (const char* folder : {"base", "tokenizer", "kernels", "hooks", "engine", "analysis",
                               "report", "bench", "cli", "include"}) {
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const std::string extension = entry.path().extension().string();
        if (extension != ".cc" && extension != ".h" && extension != ".cu") continue;
        if (entry.path().string().find("bench/kernels/") != std::string::npos) continue;
        for (const std::string& text : literals_of(read_bytes(entry.path())))
          all.push_back({fs::relative(entry.path(), root), text});
      }
    }
    return all;
  }();
  return texts;
}

/// "cli/lens" of cli/lens/cmd_lens.cc
std::string folder_of(const fs::path& file) { return file.parent_path().string(); }

/// The commands that the sources of a folder of cli/ add, by the file that adds them.
const std::map<std::string, std::map<std::string, std::string>>& commands_by_folder() {
  static const auto commands = [] {
    std::map<std::string, std::map<std::string, std::string>> found;
    for (const auto& [name, options] : option_table()) {
      for (const Text& text : all_texts()) {
        if (text.text == name && !name.empty() && text.file.string().starts_with("cli/"))
          found[folder_of(text.file)].emplace(name, text.file.filename().string());
      }
    }
    return found;
  }();
  return commands;
}

bool has(const std::string& command, const std::string& flag) {
  if (flag == "--help" || flag == "--version") return true;
  return find_option(command, flag) != nullptr;
}

/// Flags of other programs that findings and build advice name.
const Names kForeign = {"--build", "--install", "--target", "--interleave", "--sort"};

/// Where the flags of a text must exist: "vitrine NAME" in the text itself, else the command of its
/// file, else those of its folder; empty: any command.
Names commands_of(const Text& text) {
  if (folder_of(text.file) == "cli/doctor") return {};  // it advises on all commands
  static const std::regex kNamed("vitrine ([a-z][a-z-]+)");
  Names named;
  for (auto at = std::sregex_iterator(text.text.begin(), text.text.end(), kNamed);
       at != std::sregex_iterator(); ++at) {
    if (option_table().contains((*at)[1])) named.insert((*at)[1]);
  }
  if (!named.empty()) return named;
  const std::string file = text.file.filename().string();
  if (file.starts_with("cmd_")) {
    std::string name = file.substr(4, file.size() - 7);
    std::replace(name.begin(), name.end(), '_', '-');
    if (option_table().contains(name)) return {name};
  }
  if (text.file.string().starts_with("bench/")) return {"bench"};
  Names all;
  const auto folder = commands_by_folder().find(folder_of(text.file));
  if (folder == commands_by_folder().end()) return all;
  for (const auto& [name, where] : folder->second) all.insert(name);
  return all;
}

Names flags_in(const std::string& text) {
  static const std::regex kFlag("(^|[^A-Za-z0-9-])(--[a-z][a-z0-9-]*[a-z0-9])");
  Names flags;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), kFlag);
       at != std::sregex_iterator(); ++at) {
    if (!kForeign.contains((*at)[2])) flags.insert((*at)[2]);
  }
  return flags;
}

TEST(Advice, NamesFlagsOfTheCommandsThatGiveIt) {
  size_t checked = 0;
  for (const Text& text : all_texts()) {
    if (text.text.starts_with("--")) continue;  // an option that is declared, or a part of a line
    const Names flags = flags_in(text.text), commands = commands_of(text);
    const bool library =
        !text.file.string().starts_with("cli/") && !text.file.string().starts_with("bench/");
    for (const std::string& flag : flags) {
      ++checked;
      SCOPED_TRACE(text.file.string() + ": \"" + text.text + "\"");
      const auto knows = [&](const std::string& command) { return has(command, flag); };
      if (!commands.empty()) {
        EXPECT_TRUE(std::any_of(commands.begin(), commands.end(), knows)) << flag;
        continue;
      }
      // Below the commands only --device is a word of every command that gets there.
      EXPECT_TRUE(!library || flag == "--device")
          << flag << ": the library names members of options, such as `max_work`";
      // What commands share names flags that one of them has together.
      EXPECT_TRUE(std::any_of(option_table().begin(), option_table().end(), [&](const auto& entry) {
        return std::all_of(flags.begin(), flags.end(),
                           [&](const std::string& one) { return has(entry.first, one); });
      })) << flag;
    }
  }
  EXPECT_GT(checked, 200u);
}

/// The commands whose errors an analysis can be, by its folder or, where a folder has several, by
/// its file.
const std::map<std::string, Names> kCommandsOfAnalyses = {
    {"attention", {"attention"}},
    {"attribution", {"attribute"}},
    {"corpus", {"corpus", "covariance"}},
    {"covariance", {"covariance"}},
    {"lens", {"lens"}},
    {"noise", {"noise"}},
    {"patching", {"patch"}},
    {"predictivity", {"predictivity"}},
    {"representation", {"similarity", "factors", "concept"}},
    {"saliency", {"saliency"}},
    {"score", {"score", "windows"}}};

TEST(Advice, NamesOfOptionsInTheLibraryAreFlags) {
  static const std::regex kName("`([a-z][a-z0-9_]*)`");
  size_t checked = 0;
  for (const Text& text : all_texts()) {
    if (!text.file.string().starts_with("analysis/")) continue;
    auto commands = kCommandsOfAnalyses.find(text.file.stem().string());
    if (commands == kCommandsOfAnalyses.end())
      commands = kCommandsOfAnalyses.find(text.file.parent_path().filename().string());
    for (auto at = std::sregex_iterator(text.text.begin(), text.text.end(), kName);
         at != std::sregex_iterator(); ++at) {
      ++checked;
      SCOPED_TRACE(text.file.string() + ": \"" + text.text + "\"");
      ASSERT_NE(commands, kCommandsOfAnalyses.end());
      std::string flag = "--" + (*at)[1].str();
      std::replace(flag.begin(), flag.end(), '_', '-');
      for (const std::string& command : commands->second)
        EXPECT_TRUE(has(command, flag)) << flag << " of " << command;
    }
  }
  EXPECT_GE(checked, 8u);
}

TEST(Advice, ALimitIsNamed) {
  static const std::regex kVague("(raise|lower|increase|change) the limit|larger limit");
  for (const Text& text : all_texts()) {
    EXPECT_FALSE(std::regex_search(text.text, kVague))
        << text.file << ": \"" << text.text << "\": which option is it?";
  }
}

TEST(Advice, IsGivenAsFlags) {
  const fs::path plain = fs::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain";
  const std::string model = plain.string();
  const auto error_of = [](const std::vector<std::string>& arguments) {
    const CliResult result = run_cli(arguments);
    EXPECT_EQ(result.status, 2) << result.out;
    return result.err;
  };
  EXPECT_NE(error_of({"attention", "--model", model, "--ids", "1,2,3,4,5", "--mode", "flow",
                      "--position", "all", "--max-work", "3"})
                .find("or raise --max-work\n"),
            std::string::npos);
  EXPECT_NE(error_of({"noise", "--model", model, "--ids", "1,2,3", "--kind", "token-deletion",
                      "--budget", "1"})
                .find("use a smaller --budget\n"),
            std::string::npos);
  const std::string one = error_of({"noise", "--model", model, "--ids", "1", "--kind", "spans",
                                    "--mask", "delete", "--budget", "0.1"});
  EXPECT_NE(one.find("use a longer prompt or another --mask\n"), std::string::npos)
      << "no budget leaves a token of one: " << one;
  for (const char* command : {"lens", "saliency", "attention", "patch"}) {
    const std::string ids = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17";
    const bool patch = std::string(command) == "patch";
    std::vector<std::string> words = {command, "--model", model, patch ? "--clean-ids" : "--ids",
                                      ids};
    if (patch) words.insert(words.end(), {"--ablate", "zero"});
    const std::string line = error_of(words);
    EXPECT_NE(line.find("17"), std::string::npos) << line;
    EXPECT_EQ(line.find("window"), std::string::npos) << command << " has none: " << line;
  }
  TempFolder folder;
  const std::string bad = folder.write("bad.jsonl", "{}\n");
  EXPECT_NE(error_of({"corpus", bad, "--model", model, "--capture", "hook_embed", "--out",
                      folder / "out"})
                .find("; fix the document, or use --skip-bad\n"),
            std::string::npos);
  EXPECT_NE(error_of({"lens", "--model", model, "--fit", bad, "--translators", folder / "lens"})
                .find("; fix the document\n"),
            std::string::npos)
      << "lens has no --skip-bad";
  EXPECT_NE(error_of({"patch", "--model", model, "--clean", "a", "--corrupt", "b"})
                .find("to give token ids: --clean-ids"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
