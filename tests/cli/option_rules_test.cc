// SPDX-License-Identifier: MIT
// The table of options and what they belong to (`man --json`) is what the parser does: each rule is
// broken once and the run rejected by name.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "option_table.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

// --- rules

/// The options of one run of a command; an option without a value has an empty one.
using Given = std::map<std::string, std::string>;

/// Finds a run in which exactly one rule of one option is broken.
class RuleBreaker {
 public:
  RuleBreaker(std::string command, const fs::path& folder)
      : command_(std::move(command)), folder_(folder) {}

  Words run_that_breaks(const TableOption& option, const Json& rule) {
    given_.clear();
    broken_ = nullptr;
    for (const TableOption& other : option_table().at(command_)) {
      if (other.required) give(other.name);
    }
    broken_ = rule["with"];
    for (const Json& with : rule["with"]) make(with, rule["kind"] == "not");
    give(option.name);
    return words();
  }

  /// Of the last run.
  Words options_with(const Json& rule) const {
    Words names;
    for (const auto& [name, value] : given_) {
      const Json& rules = at(name).rules;
      if (std::any_of(rules.begin(), rules.end(),
                      [&](const Json& one) { return one["with"] == rule["with"]; }))
        names.push_back(name);
    }
    return names;
  }

 private:
  bool is_so(const Json& with) const {
    const auto found = given_.find(with["option"]);
    const Words values = with["values"];
    const TableOption& option = at(with["option"]);
    bool so = found != given_.end();
    if (!values.empty()) {
      const std::string value = so ? found->second : option.fallback;
      so = std::any_of(values.begin(), values.end(),
                       [&](const std::string& wanted) { return matches(value, wanted); });
    }
    return so != with["absent"].get<bool>();
  }

  const TableOption& at(const std::string& name) const {
    const TableOption* option = find_option(command_, name);
    EXPECT_NE(option, nullptr) << command_ << " has a rule about " << name;
    return *option;
  }

  static bool matches(const std::string& value, const std::string& wanted) {
    if (wanted == "above 0") return !value.empty() && std::stod(value) > 0;
    if (wanted.ends_with('*')) return value.starts_with(wanted.substr(0, wanted.size() - 1));
    return value == wanted;
  }

  /// A value that the rule means.
  static std::string meant(const Json& with) {
    const std::string wanted = with["values"][0];
    if (wanted == "above 0") return "1";
    return wanted.ends_with('*') ? wanted.substr(0, wanted.size() - 1) : wanted;
  }

  /// Makes a state of another option so, or not so.
  void make(const Json& with, bool wanted) {
    if (is_so(with) == wanted) return;
    const std::string name = with["option"];
    const bool positive = wanted != with["absent"].get<bool>();
    if (!positive && with["values"].empty()) {
      given_.erase(name);
      return;
    }
    if (positive && !with["values"].empty()) {
      given_[name] = meant(with);
    } else if (positive) {
      given_[name] = sample(at(name));
    } else {  // any other value
      for (const std::string& choice : at(name).choices) {
        given_[name] = choice;
        if (is_so(with) == wanted) break;
      }
    }
    satisfy(name);
  }

  void give(const std::string& name) {
    if (!given_.contains(name)) given_[name] = sample(at(name));
    satisfy(name);
  }

  /// The rules of an option but the one that is to be broken.
  void satisfy(const std::string& name) {
    for (const Json& rule : at(name).rules) {
      if (rule["with"] == broken_ || rule["kind"] == "not" || rule["with"].empty()) continue;
      const auto so = [&](const Json& with) { return is_so(with); };
      if (!std::any_of(rule["with"].begin(), rule["with"].end(), so)) make(rule["with"][0], true);
    }
  }

  /// A value that the parser takes; that commands can use it does not matter here.
  std::string sample(const TableOption& option) const {
    if (option.value.empty()) return "";
    if (!option.choices.empty()) return option.choices.back();
    if (option.name == "--html" || option.name == "--svg" || option.name == "--png")
      return (folder_ / "x.html").string();
    if (option.name == "--csv") return (folder_ / "x.csv").string();
    if (option.name == "--out") return (folder_ / "x.safetensors").string();
    if (option.name == "--hooks" && option.value == "FILE") return hooks_file();
    if (!option.fallback.empty() && option.fallback[0] != '[') return option.fallback;
    static const std::set<std::string> kNumbers = {
        "N", "K", "X", "ID", "T", "TOKENS", "SEED", "LIST", "WORLD", "RANK", "A", "P", "R"};
    return kNumbers.contains(option.value) ? "1" : "x";
  }

  /// It is read before any rule is looked at, because its entries count as options.
  std::string hooks_file() const {
    const fs::path path = folder_ / "hooks.json";
    std::ofstream(path) << R"({"edits": ["blocks.0.hook_mlp_out=zero"]})";
    return path.string();
  }

  Words words() const {
    Words words = {command_}, positional;
    for (const auto& [name, value] : given_) {
      const TableOption& option = at(name);
      if (option.positional) {
        positional.push_back(value);
        continue;
      }
      words.push_back(name);
      if (!option.value.empty()) words.push_back(value);
    }
    words.insert(words.begin() + 1, positional.begin(), positional.end());
    return words;
  }

  std::string command_;
  fs::path folder_;
  Given given_;
  Json broken_;
};

class OptionRules : public ::testing::TestWithParam<const char*> {};

TEST_P(OptionRules, EveryBrokenRuleIsRejectedByName) {
  const std::string command = GetParam();
  TempFolder folder;
  RuleBreaker breaker(command, folder.path());
  for (const TableOption& option : option_table().at(command)) {
    for (const Json& rule : option.rules) {
      const auto required = [&](const Json& with) {
        return find_option(command, with["option"])->required;
      };
      // Decided by files (option_modes_test.cc has them), or never broken.
      if (rule["with"].empty() || std::any_of(rule["with"].begin(), rule["with"].end(), required))
        continue;
      const Words arguments = breaker.run_that_breaks(option, rule);
      const CliResult result = run_cli(arguments);
      SCOPED_TRACE(Json(arguments).dump() + "\n" + rule.dump() + "\n" + result.err);
      EXPECT_EQ(result.status, 2);
      EXPECT_EQ(result.out, "");
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
      // Or another option of the run that has the same rule, or the other side of it.
      Words blamed = breaker.options_with(rule);
      for (const Json& with : rule["with"]) blamed.push_back(with["option"]);
      EXPECT_TRUE(std::any_of(blamed.begin(), blamed.end(), [&](const std::string& name) {
        return result.err.find("vitrine: " + name + " ") == 0;
      }));
      const auto named = [&](const Json& with) {
        return result.err.find(with["option"].get<std::string>()) != std::string::npos;
      };
      EXPECT_TRUE(std::any_of(rule["with"].begin(), rule["with"].end(), named));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Commands, OptionRules, ::testing::ValuesIn(kCommands),
                         command_name<::testing::TestParamInfo<const char*>>);
INSTANTIATE_TEST_SUITE_P(Others, OptionRules,
                         ::testing::Values("bench", "make-random", "convert", "pull", "doctor"),
                         command_name<::testing::TestParamInfo<const char*>>);

TEST(OptionRules, TheTableHasNoOtherCommands) {
  std::set<std::string> known = {"", "bench", "make-random", "convert", "pull", "doctor"};
  known.insert(std::begin(kCommands), std::end(kCommands));
  for (const auto& [name, options] : option_table()) EXPECT_TRUE(known.contains(name)) << name;
  EXPECT_EQ(option_table().size(), known.size());
}

// --- values

TEST(OptionRules, AnEmptyValueIsRejectedByName) {
  for (const auto& [command, options] : option_table()) {
    if (command.empty()) continue;
    for (const TableOption& option : options) {
      if (option.value.empty() || option.positional) continue;
      for (const Words& given : {Words{option.name, ""}, Words{option.name + "="}}) {
        Words words = {command};
        words.insert(words.end(), given.begin(), given.end());
        const CliResult result = run_cli(words);
        SCOPED_TRACE(Json(words).dump() + "\n" + result.err);
        EXPECT_EQ(result.status, 2);
        EXPECT_EQ(result.out, "");
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
        EXPECT_NE(result.err.find(option.name + ": "), std::string::npos);
      }
    }
  }
}

TEST(OptionRules, AValueMayEndInAnEqualsSign) {
  const CliResult result = run_cli({"tokenize", "--prompt", "--json=", "--only-ids"});
  EXPECT_EQ(result.status, 0) << result.err;
}

TEST(OptionRules, AnOptionOfOneValueIsGivenOnce) {
  for (const Words& words : {Words{"lens", "--top-k", "1", "--top-k", "2"},
                             Words{"patch", "--clean", "a", "--clean", "b"},
                             Words{"attention", "--mode", "flow", "--mode", "maps"}}) {
    const CliResult result = run_cli(words);
    EXPECT_EQ(result.status, 2) << Json(words).dump();
    EXPECT_NE(result.err.find(words[1]), std::string::npos) << result.err;
  }
}

TEST(OptionRules, HelpAndManualSayWhatAnOptionBelongsTo) {
  const std::string help = run_cli({"attention", "--help"}).out;
  EXPECT_NE(help.find("(only with --mode maps or heads)"), std::string::npos) << help;
  const std::string manual = run_cli({"man"}).out;
  EXPECT_NE(manual.find("(only with \\-\\-mode maps or heads)"), std::string::npos);
  EXPECT_NE(run_cli({"completions", "fish"}).out.find("(only with --mode maps or heads)"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
