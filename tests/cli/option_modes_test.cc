// SPDX-License-Identifier: MIT
// Every option has an effect or is rejected by name: the commands are run mode by mode, with and
// without each of their options.

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "option_table.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;
/// The options of one run of a command; an option without a value has an empty one.
using Given = std::map<std::string, std::string>;

constexpr const char* kPrompt = "The keys to the old cabinet are on the table. They are";

/// What the commands of this test read.
class Inputs {
 public:
  Inputs() {
    const CliResult made = run_cli({"make-random", folder_ / "model", "--layers", "3", "--heads",
                                    "2", "--width", "16", "--context", "80", "--vocab", "4096",
                                    "--init", "wide", "--tokenizer", demo_folder().string()});
    EXPECT_EQ(made.status, 0) << made.err;
    std::string stories, ids;
    for (int i = 0; i < 24; ++i) {
      stories += "{\"text\": \"The keys to the cabinet are on table number " + std::to_string(i) +
                 ".\", \"other\": \"A man\"}\n";
      texts_ +=
          "The keys to the cabinet are on table number " + std::to_string(i) + ".\n\nA man.\n";
    }
    folder_.write("stories.jsonl", stories);
    folder_.write("stories.txt", texts_);
    folder_.write("hooks.json", R"({"edits": ["blocks.0.hook_mlp_out=zero"]})");
    folder_.write("glad.txt",
                  "I am glad that the sun is out today\nWhat a joy it is to see you all here\nThis "
                  "is great news, and there is more of it\n");
    folder_.write("sad.txt",
                  "I am sad that the sun is not out today\nWhat a pity it is to see you all "
                  "here\nThis is bad news, and there is more of it\n");
    std::string pairs;
    for (const char* place : {"cabinet", "table"})
      pairs += std::string("{\"clean\": \"The keys to the ") + place +
               "\", \"corrupt\": \"The man to the " + place +
               "\", \"answer\": [\" are\", \" the\"], \"wrong\": \" is\"}\n";
    folder_.write("pairs.jsonl", pairs);
    folder_.write("table.csv", "a,b,n,w\n1,2,1,0.5\n2,1,2,1\n4,5,1,2\n3,3,1,1\n");
    std::string stimuli = "text,group\n", responses = "one,two\n";
    for (int i = 0; i < 24; ++i) {
      stimuli += "The man has " + std::to_string(i * 7) + " keys," + std::to_string(i / 3) + "\n";
      responses += std::to_string((i * 37) % 11) + "," + std::to_string((i * 53) % 7) + "\n";
    }
    folder_.write("stimuli.csv", stimuli);
    folder_.write("responses.csv", responses);
    folder_.write("subjects.txt", "anna\nbert\n");
    folder_.write("other.json", other_tokenizer());
    const Words corpus = {folder_ / "stories.jsonl", "--model", folder_ / "model", "--capture",
                          "blocks.0.hook_resid_post"};
    for (Words words : {Words{"corpus", "--out", folder_ / "acts"},
                        Words{"covariance", "--state", folder_ / "sums.safetensors"}}) {
      words.insert(words.end(), corpus.begin(), corpus.end());
      EXPECT_EQ(run_cli(words).status, 0) << Json(words).dump();
    }
  }

  std::string operator/(const std::string& name) const { return folder_ / name; }
  /// What a run wrote into `out/`, and an empty `out/` for the next one.
  std::string take_output() const {
    std::string text;
    std::set<fs::path> files;
    if (fs::exists(folder_ / "out")) {
      for (const auto& entry : fs::recursive_directory_iterator(folder_ / "out")) {
        if (entry.is_regular_file()) files.insert(entry.path());
      }
    }
    for (const fs::path& file : files) text += file.string() + "\n" + read_bytes(file);
    fs::remove_all(folder_ / "out");
    fs::create_directory(folder_ / "out");
    return text;
  }

 private:
  /// The demo's with a space before texts, and with the longer tokens in the opposite order.
  static std::string other_tokenizer() {
    Json json = Json::parse(read_bytes(demo_folder() / "tokenizer.json"));
    json["pre_tokenizer"]["add_prefix_space"] = true;
    Json& vocab = json["model"]["vocab"];
    constexpr int kFirst = 300;  // after the bytes
    for (auto& [name, id] : vocab.items()) {
      if (id >= kFirst) id = kFirst + static_cast<int>(vocab.size()) - 1 - id.get<int>();
    }
    return json.dump();
  }

  TempFolder folder_;
  std::string texts_;
};

/// The modes of a command: what each of them adds to the command's usual words. "@" is the folder
/// of the inputs.
struct Modes {
  Words usual;
  std::vector<Words> modes;
  Given values = {};                 ///< of options that need one of their own to have an effect
  std::set<std::string> quiet = {};  ///< options whose effect is not in the results: speed, saving
};

const std::multimap<std::string, Modes>& all_modes() {
  const Words prompt = {"--model", "@model", "--prompt", kPrompt};
  const Words corpus = {"@stories.jsonl", "--model", "@model"};
  static const std::multimap<std::string, Modes> kModes = {
      {"lens",
       {{"--model", "@model", "--fit", "@stories.jsonl", "--translators", "@out/lens"},
        {{}},
        {{"--tokens", "200"}}}},
      {"corpus", {{"--verify", "--out", "@acts"}, {{}}, {}, {}}},
      {"covariance",
       {{"--data", "@table.csv"}, {{}, {"--json"}}, {{"--fweights", "n"}, {"--aweights", "w"}}}},
      {"covariance", {{"--merge", "@sums.safetensors"}, {{}}, {{"--ddof", "0"}, {"--top", "2"}}}},
      {"tokenize", {{"--model", "@model", "--ids", "500,600"}, {{}, {"--decode"}}, {}, {}}},
      {"lens",
       {prompt,
        {{},
         {"--json"},
         {"--watch", " is, are"},
         {"--show", "grid"},
         {"--show", "ranks"},
         {"--position", "-1"},
         {"--generate", "2"},
         {"--generate", "2", "--temperature", "1"}},
        {{"--target", " is"},
         {"--watch", " man"},
         {"--mode", "ecco"},
         {"--show", "grid"},
         {"--cell", "rank"},
         {"--temperature", "5"},
         {"--top-k", "2"}}}},
      {"saliency",
       {prompt,
        {{},
         {"--method", "gradient-norm"},
         {"--method", "smooth-grad", "--samples", "3"},
         {"--method", "integrated-gradients", "--steps", "4"},
         {"--method", "occlusion"},
         {"--method", "span-occlusion", "--draws", "6"},
         {"--show", "grid"},
         {"--generate", "2", "--json"},
         {"--continuation", " are here", "--show", "text"}},
        {{"--show", "grid"},
         {"--contrast-text", " is there"},
         {"--top-k", "3"},
         {"--noise", "0.5"},
         {"--rule", "left"},
         {"--of", "prob"},
         {"--baseline", "mean"},
         {"--mask", "zero"},
         {"--budget", "0.4"}}}},
      {"attribute",
       {{"--model", "@model", "--pairs", "@pairs.jsonl"}, {{}, {"--json"}}, {{"--top", "3"}}}},
      {"patch",
       {{"--model", "@model", "--pairs", "@pairs.jsonl"},
        {{"--sweep", "heads"}, {"--attribution", "--json"}, {"--paths", "final"}},
        {{"--align", "0:0,1:1,2:2"},
         {"--window", "2"},
         {"--positions", "1"},
         {"--metric", "log-prob"},
         {"--over", "whole"},
         {"--heads", "1"},
         {"--senders", "embed"},
         {"--top", "2"}}}},
      {"attribute",
       {prompt, {{}, {"--json"}}, {{"--top", "3"}, {"--position", "2"}, {"--neurons", "3"}}}},
      {"patch",
       {{"--model", "@model", "--clean", "The keys to the cabinet"},
        {{"--sweep", "heads", "--corrupt", "The man to the cabinet"},
         {"--corrupt", "The man to the cabinet", "--attribution"},
         {"--sweep", "heads", "--corrupt", "The man to the cabinet", "--json"},
         {"--paths", "final", "--corrupt", "The man to the cabinet"},
         {"--sweep", "heads", "--ablate", "zero"},
         {"--ablate", "mean", "--others", "A man to the table"},
         {"--ablate", "resample", "--corrupt", "The man to the cabinet"},
         {"--trace", "keys", "--draws", "2", "--json"}},
        {{"--others", "The man to the table"},
         {"--others-file", "@glad.txt"},
         {"--align", "0:0,1:1,2:2"},
         {"--position", "2"},
         {"--window", "2"},
         {"--layers", "1"},
         {"--positions", "1"},
         {"--metric", "log-prob"},
         {"--over", "whole"},
         {"--heads", "1"},
         {"--senders", "embed"},
         {"--top", "2"},
         {"--noise", "1"}}}},
      {"noise",
       {{"--model", "@model", "--prompt", kPrompt, "--repetitions", "3"},
        {{},
         {"--kind", "rotation"},
         {"--kind", "token-deletion"},
         {"--show", "layers"},
         {"--json"}},
        {{"--mask", "zero"},
         {"--kind", "spans"},
         {"--budget", "0.4"},
         {"--poisson", "1"},
         {"--examples", "2"},
         {"--show", "both"}}}},
      {"predictivity",
       {{"--model", "@model", "--stimuli", "@stimuli.csv", "--responses", "@responses.csv",
         "--bootstraps", "20", "--site", "blocks.*.hook_resid_post"},
        {{"--no-control"}, {"--regression", "ols", "--no-control"}, {"--json"}},
        {{"--site", "blocks.0.hook_mlp_out"},
         {"--subjects", "@subjects.txt"},
         {"--ceiling", "0.5"},
         {"--context", "none"},
         {"--regression", "ols"},
         {"--alphas", "5000"},
         {"--choice", "loo"},
         {"--folds", "3"},
         {"--fold-kind", "shuffled"},
         {"--control-seeds", "4"}},
        {}}},
      {"generate",
       {prompt,
        {{},
         {"--temperature", "1"},
         {"--capture", "blocks.0.hook_resid_post", "--out", "@out/c.npy"},
         {"--choices", " the"},
         {"--beams", "4", "--max-new-tokens", "4"},
         {"--json"}},
        {{"--max-new-tokens", "3"},
         {"--length-penalty", "-30"},
         {"--temperature", "5"},
         {"--top-k", "2"},
         {"--top-p", "0.1"},
         {"--num-samples", "2"},
         {"--out", "@out/other.npy"},
         {"--capture", "blocks.1.hook_resid_post"}},
        {"--ignore-end", "--stop", "--stop-ids", "--stop-string", "--min-new-tokens",
         "--min-length", "--bad-words", "--bad-words-ids", "--early-stopping", "--length-penalty",
         "--past-context"}}},
      {"score",
       {{"--model", "@model", "--prompt", kPrompt, "--window", "8"},
        {{}, {"--words"}, {"--summary"}, {"--words", "--summary"}, {"--json"}, {"--prepend"}},
        {{"--stride", "1"}, {"--boundary", "trailing"}},
        {}}},
      {"windows",
       {{"--model", "@model", "--prompt", kPrompt, "--window", "4"},
        {{}, {"--json"}},
        {{"--stride", "1"}},
        {}}},
      {"attention",
       {prompt,
        {{},
         {"--mode", "rollout", "--json"},
         {"--mode", "flow", "--json"},
         {"--mode", "heads", "--sequences", "2", "--length", "4"},
         {"--json"}},
        {{"--mode", "rollout"},
         {"--layers", "1"},
         {"--heads", "1"},
         {"--position", "3"},
         {"--bos-id", "7"},
         {"--max-work", "1e12"}},
        {"--max-work"}}},
      {"similarity",
       {prompt,
        {{}, {"--measure", "svcca"}, {"--json"}},
        {{"--site", "blocks.*.hook_mlp_out"},
         {"--measure", "svcca"},
         {"--variance", "0.3"},
         {"--against", "@model"}}}},
      {"factors",
       {prompt,
        {{"--components", "3"},
         {"--components", "3", "--init", "nndsvd"},
         {"--components", "3", "--generate", "4"},
         {"--components", "3", "--generate", "4", "--init", "nndsvd", "--temperature", "1"},
         {"--components", "3", "--json"}},
        {{"--layers", "1"},
         {"--generate", "3"},
         {"--temperature", "5"},
         {"--top-k", "2"},
         {"--top-p", "0.1"},
         {"--init", "nndsvd"},
         {"--max-iterations", "2"},
         {"--tolerance", "0.5"},
         {"--top-neurons", "2"},
         {"--top-tokens", "2"}}}},
      {"concept",
       {{"--model", "@model", "--positive", "@glad.txt", "--negative", "@sad.txt"},
        {{}, {"--json"}},
        {{"--site", "blocks.0.hook_mlp_out"}, {"--pooling", "mean"}}}},
      {"capture",
       {{"--model", "@model", "--prompt", kPrompt, "--capture", "blocks.0.hook_resid_post", "--out",
         "@out/c.safetensors"},
        {{}, {"--gradient", "blocks.0.hook_resid_pre", "--target", " man"}},
        {{"--capture", "blocks.1.hook_resid_post"},
         {"--gradient", "blocks.1.hook_resid_pre"},
         {"--contrast", " the"}}}},
      {"corpus",
       {corpus,
        {{"--capture", "blocks.0.hook_resid_post", "--out", "@out/acts", "--json"}},
        {{"--capture", "blocks.1.hook_resid_post"},
         {"--window", "4"},
         {"--overlap", "2"},
         {"--shard-tokens", "64"},
         {"--field", "other"},
         {"--world", "2"},
         {"--rank", "0"}},
        {"--batch-tokens", "--skip-bad"}}},
      {"covariance",
       {{"--model", "@model", "--window", "4"},
        {{"@stories.jsonl", "--capture", "blocks.0.hook_resid_post", "--json"},
         {"@stories.txt", "--capture", "blocks.0.hook_resid_post"}},
        {{"--capture", "blocks.1.hook_resid_post"},
         {"--window", "4"},
         {"--overlap", "2"},
         {"--field", "other"},
         {"--split", "paragraph"},
         {"--ddof", "0"},
         {"--components", "2"},
         {"--top", "2"}},
        {"--batch-tokens", "--skip-bad", "--save-tokens"}}},
      {"tokenize", {prompt, {{}, {"--json"}}, {}, {}}},
      {"info", {{"--model", "@model"}, {{}, {"--json"}}, {}, {}}},
      {"sites", {{"--model", "@model"}, {{}, {"--json"}}, {}, {}}}};
  return kModes;
}

/// Options of many commands: a value with an effect.
const Given& usual_values() {
  static const Given kValues = {{"--prompt", "A man and a woman went to the market with their dog"},
                                {"--prompt-file", "@glad.txt"},
                                {"--text-file", "@sad.txt"},
                                {"--ids", "5,6,7,8,9,10,11,12,13,14"},
                                {"--edit", "blocks.0.hook_mlp_out=zero"},
                                {"--hooks", "@hooks.json"},
                                {"--save-hooks", "@out/hooks.json"},
                                {"--pairs", "@pairs.jsonl"},
                                {"--color", "always"},
                                {"--bos", "7"},
                                {"--tokenizer", "@other.json"},
                                {"--width", "40"},
                                {"--dtype", "f16"},
                                {"--device", "cpu"},
                                {"--store", "f16"},
                                {"--seed", "9"},
                                {"--continuation", " the"},
                                {"--continuation-ids", "7"},
                                {"--generate", "3"},
                                {"--min-p", "1"},
                                {"--typical-p", "0.01"},
                                {"--repetition-penalty", "9"},
                                {"--presence-penalty", "99"},
                                {"--frequency-penalty", "99"},
                                {"--html", "@out/x.html"},
                                {"--svg", "@out/x.svg"},
                                {"--png", "@out/x.png"},
                                {"--out", "@out/x.safetensors"},
                                {"--csv", "@out/x.csv"},
                                {"--layers", "1"},
                                {"--position", "2"},
                                {"files", "@glad.txt"},
                                {"PATTERN", "*hook_z"}};
  return kValues;
}

/// Options whose effect is not in a result here: how long it takes, where it runs, what is never in
/// these texts or below the digits that are shown.
const std::set<std::string>& usual_quiet() {
  static const std::set<std::string> kQuiet = {"--threads", "--device", "--special", "--progress",
                                               "--header",  "--color",  "--width",   "--dtype"};
  return kQuiet;
}

class OptionModes : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    if (has_demo()) inputs_ = std::make_unique<Inputs>();
  }
  static void TearDownTestSuite() { inputs_.reset(); }

  std::string placed(std::string word) const {
    if (word.starts_with('@')) word = *inputs_ / word.substr(1);
    return word;
  }
  CliResult run(Words words) const {
    for (std::string& word : words) word = placed(word);
    CliResult result = run_cli(words);
    result.out += inputs_->take_output();
    return result;
  }
  std::string value_of(const Modes& modes, const TableOption& option) const {
    for (const Given* values : {&modes.values, &usual_values()}) {
      if (const auto found = values->find(option.name); found != values->end())
        return found->second;
    }
    for (const std::string& choice : option.choices) {
      if (choice != option.fallback) return choice;
    }
    if (option.name.ends_with("-id")) return "5";
    if (option.name.ends_with("-ids")) return "5,6";
    if (option.value == "TOKEN" || option.value == "TOKENS") return " man";
    return "2";
  }

  /// Runs the command in each mode with each option.
  void walk(const std::string& command, const Modes& modes) const {
    for (const Words& mode : modes.modes) {
      Words base = {command};
      base.insert(base.end(), modes.usual.begin(), modes.usual.end());
      base.insert(base.end(), mode.begin(), mode.end());
      const CliResult without = run(base);
      ASSERT_EQ(without.status, 0) << Json(base).dump() << without.err;
      for (const TableOption& option : option_table().at(command)) {
        const bool again =
            option.value.empty() && std::find(base.begin(), base.end(), option.name) != base.end();
        if (option.name == "--help" || again) continue;
        Words words = base;
        if (!option.positional) words.push_back(option.name);
        if (!option.value.empty()) words.push_back(value_of(modes, option));
        const CliResult with = run(words);
        SCOPED_TRACE(Json(words).dump() + "\n" + with.err);
        if (with.status == 2) {
          EXPECT_TRUE(with.err.find(option.name) != std::string::npos ||
                      with.err.find(placed(words.back())) != std::string::npos)
              << "rejected without its name or value";
          continue;
        }
        EXPECT_EQ(with.status, 0);
        if (modes.quiet.contains(option.name) || usual_quiet().contains(option.name)) continue;
        EXPECT_NE(with.out, without.out) << option.name << " has no effect";
      }
    }
  }

  static std::unique_ptr<Inputs> inputs_;
};
std::unique_ptr<Inputs> OptionModes::inputs_;

TEST_P(OptionModes, EveryOptionHasAnEffectOrIsRejected) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  inputs_->take_output();
  const auto [begin, end] = all_modes().equal_range(GetParam());
  ASSERT_NE(begin, end);
  for (auto modes = begin; modes != end; ++modes) walk(GetParam(), modes->second);
}

INSTANTIATE_TEST_SUITE_P(Commands, OptionModes, ::testing::ValuesIn(kCommands),
                         command_name<::testing::TestParamInfo<const char*>>);

}  // namespace
}  // namespace vitrine::testing
