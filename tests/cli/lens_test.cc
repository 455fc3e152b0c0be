// SPDX-License-Identifier: MIT
// `vitrine lens` with translators, divergences, generations and files, and `vitrine score` by words
// and windows, against the library.

#include "vitrine/analysis/lens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/csv.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/score.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

const std::string kPlain = (fs::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain").string();
const std::string kTranslators =
    (fs::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" / "goldens" / "tuned_plain").string();
const std::vector<int32_t> kPrompt = {5, 9, 77, 3, 40};

std::vector<double> doubles(const SafetensorsFile& file, const std::string& name) {
  std::vector<double> values(static_cast<size_t>(file.tensor(name).elements()));
  std::memcpy(values.data(), file.tensor(name).data(), file.tensor(name).bytes());
  return values;
}

/// Each cell of the JSON is the library's, to the digit.
void expect_cells(const Json& result, const Lens& wanted) {
  EXPECT_EQ(result["mode"], lens_mode_name(wanted.mode));
  EXPECT_EQ(result["of"], lens_source_name(wanted.of));
  ASSERT_EQ(result["cells"].size(), wanted.kl.size());
  for (size_t i = 0; i < wanted.kl.size(); ++i) {
    EXPECT_EQ(result["cells"][i]["kl"].get<double>(), wanted.kl[i]);
    EXPECT_EQ(result["cells"][i]["target"]["log_probability"].get<double>(),
              wanted.target_log_probs[i]);
    EXPECT_EQ(result["cells"][i]["target"]["rank"], wanted.target_ranks[i]);
  }
}

TEST(LensCommand, TranslatorsAndFiles) {
  TempFolder folder;
  const Model model = Model::load(kPlain);
  const Json json = run_json({"lens", "--model", kPlain, "--ids", "5,9,77,3,40", "--translators",
                              kTranslators, "--kl", "--watch-ids", "7,8", "--out",
                              folder / "x.safetensors", "--csv", folder / "x.csv"});
  const Lens wanted = lens(model, kPrompt,
                           {.mode = LensMode::kTuned,
                            .tuned = load_tuned_lens(kTranslators, model),
                            .kl = true,
                            .watch = {7, 8}});
  expect_cells(json["results"][0], wanted);
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.metadata().at("facts.0"), R"({"mode":"tuned","of":"residual"})");
  EXPECT_EQ(file.metadata().at("site.0"),
            R"(["embed","blocks.0.hook_resid_post","blocks.1.hook_resid_post","logits"])");
  EXPECT_EQ(file.tensor("kl.0").shape(), (Shape{4, 5}));
  EXPECT_EQ(file.tensor("top_token.0").shape(), (Shape{4, 5, 5}));
  EXPECT_EQ(file.tensor("watch_log_probability.0").shape(), (Shape{4, 5, 2}));
  EXPECT_EQ(doubles(file, "kl.0"), wanted.kl);
  EXPECT_EQ(doubles(file, "target_log_probability.0"), wanted.target_log_probs);
  EXPECT_EQ(doubles(file, "watch_log_probability.0"), wanted.watch_log_probs);
  // The same numbers under the same names as a table, a line a cell.
  const std::vector<CsvRow> csv = parse_csv(read_bytes(folder / "x.csv"), "x.csv");
  ASSERT_EQ(csv.size(), 1 + wanted.kl.size());
  const auto at = [&](size_t cell, const std::string& name) {
    const auto found = std::ranges::find(csv[0].fields, name);
    return found == csv[0].fields.end() ? "missing column " + name
                                        : csv[1 + cell].fields[found - csv[0].fields.begin()];
  };
  for (size_t i = 0; i < wanted.kl.size(); ++i) {
    EXPECT_EQ(at(i, "kl (nats)"), fmt::format("{}", wanted.kl[i]));
    EXPECT_EQ(at(i, "target"), fmt::format("#{}", wanted.targets[i % 5]));
    EXPECT_EQ(at(i, "target_rank"), std::to_string(wanted.target_ranks[i]));
    EXPECT_EQ(at(i, "top_2_log_probability (nats)"),
              fmt::format("{}", wanted.top_log_probs[5 * i + 1]));
    EXPECT_EQ(at(i, "watch_#8_rank"), std::to_string(wanted.watch_ranks[2 * i + 1]));
    EXPECT_EQ(at(i, "site"), json["results"][0]["sites"][i / 5]);
    EXPECT_EQ(at(i, "position"), std::to_string(i % 5));
  }
}

/// Layers count from 0, and rows carry the name of the site that they were read from.
TEST(LensCommand, RowsAreSites) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const std::vector<std::string> run = {
      "lens", "--prompt", "Heathrow airport is located in the city of", "--position", "-1"};
  const Json all = run_json(run)["results"][0];
  EXPECT_EQ(all["sites"][0], "embed");
  EXPECT_EQ(all["sites"][6], "logits");
  size_t first = 0;
  while (all["cells"][first]["target"]["rank"] != 1) ++first;
  EXPECT_EQ(all["cells"][first]["site"], "blocks.3.hook_resid_post");
  const auto with_layers = [&](const std::string& layers) {
    auto more = run;
    more.insert(more.end(), {"--layers", layers});
    return more;
  };
  const Json some = run_json(with_layers("embed,3,-1"))["results"][0];
  ASSERT_EQ(some["cells"].size(), 3u);
  EXPECT_EQ(some["sites"], Json({"embed", "blocks.3.hook_resid_post", "logits"}));
  EXPECT_EQ(some["cells"][1], all["cells"][4]);
  EXPECT_TRUE(says(run_cli(with_layers("6")).err, "--layers 6 is out of range: expected 0..5"));
  EXPECT_TRUE(says(run_cli(run).out, "embed ", "\n3     ", "\nlogits"));
}

TEST(LensCommand, GenerationsAndSources) {
  const Model model = Model::load(kPlain);
  const Json json = run_json({"lens", "--model", kPlain, "--ids", "5,9,77,3,40", "--generate", "4",
                              "--temperature", "1.5", "--seed", "3", "--kl"});
  expect_cells(
      json["results"][0],
      rankings(model, kPrompt, {.max_new_tokens = 4, .sampling = {.temperature = 1.5f, .seed = 3}},
               {.kl = true}));
  EXPECT_EQ(json["results"][0]["positions"][0]["position"], 4);
  const Json mlp = run_json(
      {"lens", "--model", kPlain, "--ids", "5,9,77,3,40", "--of", "mlp", "--mode", "ecco", "--kl"});
  expect_cells(mlp["results"][0],
               lens(model, kPrompt, {.mode = LensMode::kEcco, .of = LensSource::kMlp, .kl = true}));
  const std::string text = run_cli({"lens", "--model", kPlain, "--ids", "5,9,77,3,40", "--of",
                                    "attention", "--cell", "kl"})
                               .out;
  EXPECT_TRUE(says(text, "normalized lens of attention outputs, 3 layers",
                   "KL(the model's output || this layer) in nats"));
  EXPECT_EQ(text.find("logits"), std::string::npos) << "no row is the model's output";
}

TEST(LensCommand, FitsWhatItThenReads) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  TempFolder folder;
  std::string corpus;
  for (int i = 0; i < 24; ++i)
    corpus +=
        "{\"text\": \"The keys to the cabinet are on the table. Heathrow airport is located in the "
        "city of London, number " +
        std::to_string(i) + ".\"}\n";
  folder.write("corpus.jsonl", corpus);
  const Json json = run_json({"lens", "--fit", folder / "corpus.jsonl", "--translators",
                              folder / "tuned", "--tokens", "400", "--alpha", "0.01"});
  const Json& fit = json["fit"];
  EXPECT_EQ(fit["alpha"], 0.01);
  EXPECT_EQ(fit["fitted_tokens"].get<int>() + fit["held_out_tokens"].get<int>(), 400);
  ASSERT_EQ(fit["sites"].size(), 6u);
  EXPECT_EQ(fit["sites"][5]["site"], "blocks.4.hook_resid_post");
  for (const Json& row : fit["sites"])
    EXPECT_LT(row["tuned_kl"].get<double>(), row["normalized_kl"].get<double>()) << row;
  const Json tuned = run_json({"lens", "--prompt", "The keys to the cabinet", "--translators",
                               folder / "tuned", "--position", "-1", "--kl"});
  EXPECT_EQ(tuned["results"][0]["mode"], "tuned");
  EXPECT_EQ(tuned["results"][0]["cells"].size(), 7u);
}

TEST(LensCommand, RefusesByName) {
  TempFolder folder;
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"lens", "--model", kPlain, "--ids", "1,2,3"});
    const CliResult result = run_cli(more);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_TRUE(says(
      refused({"--mode", "tuned"}),
      "missing translators of --mode tuned: use --translators FOLDER, or create them with --fit"));
  EXPECT_TRUE(says(refused({"--mode", "ecco", "--translators", "x"}),
                   "--translators cannot be used with --mode ecco: leave one of them out"));
  EXPECT_TRUE(says(refused({"--generate", "2", "--position", "1"}),
                   "--generate cannot be used with --position"));
  EXPECT_TRUE(says(refused({"--translators", folder / "none"}), "none/config.json"));
  EXPECT_TRUE(says(run_cli({"lens", "--fit", folder / "none.txt"}).err,
                   "missing output folder of --fit: use --translators FOLDER"));
  EXPECT_TRUE(says(refused({"--fit", folder / "none.txt", "--translators", folder / "t"}), "--fit",
                   "--ids"));
  EXPECT_EQ(folder.count(), 0u);
}

TEST(ScoreCommand, Words) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  TempFolder folder;
  const std::string text = "The \"keys\", to the cabinet are\non the table.";
  const Json json = run_json({"score", "--prompt", text, "--prepend", "--words", "--boundary",
                              "trailing", "--csv", folder / "w.csv"});
  const Model model = Model::load(demo_folder().string());
  const WordScores wanted = score_words(model, text, WordBoundary::kTrailing,
                                        {.prepend = *model.tokenizer().end_of_text()});
  const Json& result = json["results"][0];
  EXPECT_EQ(result["boundary"], "trailing");
  EXPECT_EQ(result["scores"].size(), 9u);
  const std::string csv = read_bytes(folder / "w.csv");
  EXPECT_TRUE(csv.starts_with(
      "result,word,begin,end,first,tokens,word_context,word_surprisal (nats),word_surprisal_bits "
      "(bits),shares_token\n0,The,0,3,"));
  EXPECT_NE(csv.find("\n0,\"\"\"keys\"\",\","), std::string::npos) << "quotes doubled\n" << csv;
  for (size_t w = 0; w < wanted.words.size(); ++w) {
    EXPECT_EQ(result["scores"][w]["word_surprisal"].get<double>(), wanted.words[w].surprisal);
    EXPECT_EQ(result["scores"][w]["word"], wanted.words[w].text);
    EXPECT_NE(csv.find("," + fmt::format("{}", wanted.words[w].surprisal / std::numbers::ln2)),
              std::string::npos)
        << w << "\n"
        << csv;
  }
  const std::string shown =
      run_cli({"score", "--prompt", "The keys to the cabinet", "--words"}).out;
  EXPECT_TRUE(says(shown, "the first word has no context and no surprisal",
                   "nats a word, 4 words scored", "cabinet"));
  EXPECT_EQ(run_cli({"score", "--ids", "1,2", "--words"}).status, 2);
  EXPECT_TRUE(says(run_cli({"score", "--prompt", "a b", "--bits"}).err,
                   "--bits has no effect without --words: expected --words"));
}

TEST(ScoreCommand, BeginsWithTheWordWithoutContext) {
  TempFolder folder;
  const std::string csv = folder / "s.csv";
  const Json json = run_json({"score", "--model", kPlain, "--ids", "5,9,77", "--csv", csv});
  const Json &result = json["results"][0], &first = result["scores"][0];
  ASSERT_EQ(result["scores"].size(), 3u);
  EXPECT_EQ(result["tokens"], 2) << "scored";
  EXPECT_EQ(first["token"]["id"], 5);
  EXPECT_EQ(first["position"], 0);
  EXPECT_EQ(first["context"], 0);
  for (const char* field : {"surprisal", "surprisal_bits", "probability", "rank", "entropy"})
    EXPECT_TRUE(first[field].is_null()) << field;
  EXPECT_TRUE(first["top"]["token"].is_null());
  EXPECT_TRUE(first["top"]["probability"].is_null());
  EXPECT_EQ(result["scores"][1]["token"]["id"], 9);
  EXPECT_NE(read_bytes(csv).find("\n0,0,#5,0,,,,,,,\n0,1,#9,1,"), std::string::npos)
      << read_bytes(csv);
  EXPECT_TRUE(says(run_cli({"score", "--model", kPlain, "--ids", "5,9,77"}).out, "       0  #5",
                   "without context"));
  const Json prepended =
      run_json({"score", "--model", kPlain, "--ids", "5,9,77", "--prepend-id", "1"});
  EXPECT_EQ(prepended["results"][0]["scores"].size(), 3u);
  EXPECT_TRUE(prepended["results"][0]["scores"][0]["surprisal"].is_number());
}

TEST(WindowsCommand, InputsAndTargetsInEveryOutput) {
  TempFolder folder;
  const std::string csv = folder / "w.csv";
  const std::vector<std::string> command = {
      "windows", "--model", kPlain, "--ids", "5,9,77,3,40,8", "--window", "2", "--stride", "3"};
  std::vector<std::string> files = command;
  files.insert(files.end(), {"--out", folder / "w.safetensors", "--csv", csv});
  const Json json = run_json(files);
  const Json& result = json["results"][0];
  ASSERT_EQ(result["windows"].size(), 2u);
  EXPECT_EQ(result["windows"][1]["begin"], 3);
  EXPECT_EQ(result["windows"][1]["inputs"][0]["id"], 3);
  EXPECT_EQ(result["windows"][1]["targets"][1]["id"], 8);
  const SafetensorsFile file(folder / "w.safetensors");
  EXPECT_EQ(file.tensor("inputs.0").shape(), (Shape{2, 2}));
  std::vector<int32_t> targets(4);
  std::memcpy(targets.data(), file.tensor("targets.0").data(), 16);
  EXPECT_EQ(targets, (std::vector<int32_t>{9, 77, 40, 8}));
  EXPECT_EQ(read_bytes(csv),
            "result,begin,place,inputs,targets\n0,0,0,#5,#9\n0,0,1,#9,#77\n0,3,0,#3,#40\n"
            "0,3,1,#40,#8\n");
  EXPECT_TRUE(says(run_cli(command).out, "       3  input   #3 #40", "target  #40 #8",
                   "2 windows of 2 tokens, stride 3, of a text of 6 tokens"));
  EXPECT_TRUE(says(run_cli({"windows", "--model", kPlain, "--ids", "1,2,3"}).err,
                   "missing number of tokens of a window: use --window N"));
  EXPECT_TRUE(says(run_cli({"--help"}).out, "windows"));
}

}  // namespace
}  // namespace vitrine::testing
