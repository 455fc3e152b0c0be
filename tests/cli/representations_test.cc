// SPDX-License-Identifier: MIT
// `vitrine attention`, `similarity`, `factors` and `concept` against the library.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/npy.h"
#include "runner.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/concepts.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/similarity.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr const char* kIds = "5,9,77,3,40";
const std::vector<int32_t> kPrompt = {5, 9, 77, 3, 40};

std::vector<double> doubles(const SafetensorsFile& file, const std::string& name) {
  const TensorView view = file.tensor(name);
  std::vector<double> values(static_cast<size_t>(view.elements()));
  std::memcpy(values.data(), view.data(), view.bytes());
  return values;
}

TEST(AttentionCommand, NumbersAreTheLibrarys) {
  TempFolder folder;
  const Model model = Model::load(plain());
  const Json maps = run_json({"attention", "--model", plain(), "--ids", kIds, "--layers", "1",
                              "--heads", "2,3", "--position", "all"});
  const AttentionMaps wanted = attention(model, kPrompt, {.layers = {1}, .heads = {2, 3}});
  EXPECT_EQ(maps["results"][0]["maps"][1]["head"], 3);
  EXPECT_EQ(maps["results"][0]["maps"][1]["site"], "blocks.1.attn.hook_pattern");
  EXPECT_EQ(maps["results"][0]["sites"], Json({"blocks.1.attn.hook_pattern"}));
  for (size_t q = 0; q < 5; ++q) {
    for (size_t j = 0; j < 5; ++j)
      EXPECT_EQ(maps["results"][0]["maps"][1]["attention"][q][j].get<float>(),
                wanted.row(0, 1, q)[j]);
  }
  const Json flow = run_json({"attention", "--model", plain(), "--ids", kIds, "--mode", "flow",
                              "--position", "-1", "--out", folder / "f.safetensors"});
  const AttentionRelevance row = attention_flow(model, kPrompt, {.queries = {-1}});
  EXPECT_EQ(flow["results"][0]["positions"], Json({4}));
  EXPECT_EQ(flow["results"][0]["flow"][0][0].get<std::vector<double>>(), row.values);
  EXPECT_EQ(doubles(SafetensorsFile(folder / "f.safetensors"), "flow.0"), row.values);
  const Json heads = run_json({"attention", "--model", plain(), "--ids", kIds, "--mode", "heads",
                               "--layers", "0", "--sequences", "2", "--seed", "3"});
  EXPECT_EQ(heads["attention"]["entropy"][0].get<std::vector<double>>(),
            head_statistics(model, {kPrompt}, {.layers = {0}}).entropy);
  EXPECT_EQ(heads["attention"]["induction"][0].get<std::vector<double>>(),
            repetition_scores(model, {.layers = {0}, .sequences = 2, .seed = 3}).induction);
}

TEST(AttentionCommand, AFlowIsOfAllPositionsUnlessOneIsGiven) {
  const Json flow = run_json({"attention", "--model", plain(), "--ids", kIds, "--mode", "flow"});
  const AttentionRelevance wanted = attention_flow(Model::load(plain()), kPrompt);
  EXPECT_EQ(flow["results"][0]["positions"], Json({0, 1, 2, 3, 4}));
  EXPECT_EQ(flow["results"][0]["sites"], Json({"blocks.2.hook_resid_post"}));
  for (size_t q = 0; q < 5; ++q) {
    const auto row = flow["results"][0]["flow"][0][q].get<std::vector<double>>();
    EXPECT_TRUE(std::ranges::equal(row, wanted.row(0, q))) << q;
  }
  const std::string said =
      run_cli({"attention", "--model", plain(), "--ids", kIds, "--mode", "flow"}).out;
  EXPECT_NE(said.find("not what did"), std::string::npos) << said;
  EXPECT_EQ(said.find("collect more"), std::string::npos) << "the caution of a rollout\n" << said;
}

TEST(AttentionCommand, ATableHasALineForEachKeyThatAQuerySees) {
  TempFolder folder;
  const std::string csv = folder / "maps.csv", file = folder / "maps.safetensors";
  ASSERT_EQ(run_cli({"attention", "--model", plain(), "--ids", "5,9,77", "--layers", "1", "--heads",
                     "2,3", "--position", "all", "--csv", csv, "--out", file})
                .status,
            0);
  const std::string table = read_bytes(csv);
  EXPECT_TRUE(table.starts_with(
      "result,site,head,position,key,token,key_token,attention\n"
      "0,blocks.1.attn.hook_pattern,2,0,0,#5,#5,1\n0,blocks.1.attn.hook_pattern,2,1,0,#9,#5,"))
      << table;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1 + 2 * 6);
  const SafetensorsFile arrays{std::filesystem::path(file)};
  EXPECT_EQ(arrays.tensor("attention.0").shape(), (Shape{1, 2, 3, 3}));
  EXPECT_EQ(arrays.tensor("attention.0").dtype(), DType::kF32);
}

TEST(AttentionCommand, RefusesInOneLine) {
  const CliResult result = run_cli({"attention", "--model", plain(), "--ids", kIds, "--mode",
                                    "flow", "--position", "all", "--max-work", "10"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(
                "the flows of 5 queries at 1 layers need 210 edges of work: expected at most 10"),
            std::string::npos)
      << result.err;
  EXPECT_EQ(run_cli({"attention", "--model", plain(), "--ids", kIds, "--heads", "4"}).err,
            "vitrine: head 4 is out of range: expected 0..3, the heads of a block\n");
  EXPECT_EQ(
      run_cli({"attention", "--model", plain(), "--ids", kIds, "--layers", "0,one"}).err,
      "vitrine: '--layers 0,one': invalid index 'one': expected an integer or a range such as "
      "0..3, 1.. or 1..-1\n");
}

TEST(SimilarityCommand, NumbersAreTheLibrarys) {
  const Json json = run_json({"similarity", "--model", plain(), "--ids", kIds, "--ids", "1,2,3",
                              "--measure", "svcca", "--variance", "0.9"});
  const Similarity wanted = similarity(Model::load(plain()), {kPrompt, {1, 2, 3}},
                                       {.measure = SimilarityMeasure::kSvcca, .variance = 0.9});
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 3; ++c)
      EXPECT_EQ(json["similarity"]["values"][r][c].get<double>(), wanted.at(r, c));
  }
  EXPECT_EQ(json["similarity"]["row_components"].get<std::vector<int64_t>>(),
            wanted.row_components);
  const CliResult against = run_cli({"similarity", "--model", plain(), "--against", plain(),
                                     "--ids", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18"});
  EXPECT_EQ(against.status, 0) << against.err << "longer than the context of 16";
  EXPECT_NE(against.out.find("+100"), std::string::npos) << against.out;
}

TEST(FactorsCommand, NumbersAreTheLibrarys) {
  TempFolder folder;
  const Json json =
      run_json({"factors", "--model", plain(), "--ids", kIds, "-k", "2", "--layers", "1", "--seed",
                "7", "--out", folder / "n.safetensors", "--csv", folder / "n.csv"})["factors"];
  const Factors wanted =
      factors(Model::load(plain()), {kPrompt}, {.components = 2, .layers = {1}, .seed = 7});
  EXPECT_EQ(json["relative_residual"].get<double>(), wanted.relative_residual);
  EXPECT_EQ(json["components"][1]["strengths"].get<std::vector<double>>(), wanted.strengths_of(1));
  EXPECT_EQ(json["components"][0]["top_neurons"][0]["neuron"], wanted.top_neurons(0, 1)[0]);
  EXPECT_EQ(json["components"][0]["layer_shares"].size(), 1u);
  EXPECT_EQ(json["tokens"][3]["token"]["id"], kPrompt[3]);
  EXPECT_EQ(json["seed"], 7);
  const SafetensorsFile arrays(folder / "n.safetensors");
  EXPECT_EQ(doubles(arrays, "neurons.0"), wanted.neurons);
  EXPECT_EQ(doubles(arrays, "strengths.0"), wanted.strengths);
  const std::string csv = read_bytes(folder / "n.csv");
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "result,component,token,text,position,step,share,strengths");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * 5) << "a line a cell";
}

TEST(FactorsCommand, AGenerationIsWhatGenerateMakes) {
  const Json made = run_json({"generate", "--model", plain(), "--ids", kIds, "-n", "4",
                              "--temperature", "0.9", "--top-k", "20", "--seed", "3"});
  const Json json = run_json({"factors", "--model", plain(), "--ids", kIds, "-k", "2", "-n", "4",
                              "--temperature", "0.9", "--top-k", "20", "--seed", "3"})["factors"];
  ASSERT_EQ(json["tokens"].size(), 9u);
  for (size_t t = 0; t < 9; ++t) {
    const Json& token = json["tokens"][t];
    EXPECT_EQ(token["step"], t < 5 ? 0 : t - 4);
    EXPECT_EQ(token["token"]["id"],
              t < 5 ? Json(kPrompt[t]) : made["results"][0]["tokens"][t - 5]["id"]);
  }
  // What is shown has a line between the prompt and the rest; the text as a prompt has none.
  const auto shown = [](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"factors", "--model", plain(), "-k", "2", "--width", "80"};
    words.insert(words.end(), more.begin(), more.end());
    return run_cli(words).out;
  };
  const std::string text = shown({"--ids", kIds, "-n", "4"});
  EXPECT_NE(text.find("│"), std::string::npos) << text;
  EXPECT_EQ(shown({"--ids", kIds}).find("│"), std::string::npos);
  EXPECT_EQ(text.find("component  0"), text.find('\n') + 1) << "the overview comes first: " << text;
  const CliResult alone =
      run_cli({"factors", "--model", plain(), "--ids", kIds, "-k", "2", "--top-p", "0.5"});
  EXPECT_EQ(alone.status, 2);
  EXPECT_NE(alone.err.find("--temperature"), std::string::npos) << alone.err;
}

TEST(ArrayFolder, HasTheArraysOfTheFile) {
  TempFolder folder;
  const auto written = [&](const std::string& path) {
    return run_cli(
        {"similarity", "--model", plain(), "--ids", kIds, "--measure", "svcca", "--out", path});
  };
  ASSERT_EQ(written(folder / "s.safetensors").status, 0);
  ASSERT_EQ(written((folder / "s").string() + "/").status, 0);
  const SafetensorsFile file(folder / "s.safetensors");
  const Json index = Json::parse(read_bytes(folder / "s" / "index.json"));
  ASSERT_EQ(index["arrays"].size(), file.names().size());
  for (const std::string& name : file.names()) {
    const Tensor read = read_npy(folder / "s" / (name + ".npy"));
    const TensorView wanted = file.tensor(name);
    EXPECT_EQ(read.shape(), wanted.shape()) << name;
    EXPECT_EQ(read.dtype(), wanted.dtype()) << name;
    EXPECT_EQ(std::memcmp(read.data(), wanted.data(), wanted.bytes()), 0) << name;
    EXPECT_EQ(index["arrays"][name]["file"], name + ".npy");
  }
  EXPECT_EQ(index["metadata"]["row.0"], file.metadata().at("row.0"));
  const CliResult again = written((folder / "s").string() + "/"), one = written(folder / "s.npy");
  EXPECT_EQ(again.status, 2) << "a folder that has files";
  EXPECT_EQ(one.status, 2);
  EXPECT_NE(one.err.find("a folder (ending in /) for .npy files"), std::string::npos) << one.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "s.npy"));
}

TEST(ConceptCommand, ItsFolderSteersAsItsFileDoes) {
  TempFolder folder;
  folder.write("p.jsonl", "{\"ids\": [1, 2, 5]}\n{\"ids\": [9, 5]}\n");
  folder.write("n.jsonl", "{\"ids\": [1, 2, 6]}\n{\"ids\": [9, 6]}\n");
  const auto directions = [&](const std::string& out) {
    return run_cli({"concept", "--model", plain(), "--positive", folder / "p.jsonl", "--negative",
                    folder / "n.jsonl", "--out", out});
  };
  ASSERT_EQ(directions(folder / "d.safetensors").status, 0);
  const CliResult shown = directions((folder / "d").string() + "/");
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_NE(shown.out.find("blocks.0.hook_resid_post=add:" + (folder / "d").string() +
                           "/blocks.0.hook_resid_post.npy*1"),
            std::string::npos)
      << shown.out;
  const std::string site = "blocks.1.hook_resid_post";
  const auto steered = [&](const std::string& file) {
    return run_json({"generate", "--model", plain(), "--ids", "4", "-n", "5", "--edit",
                     site + "=add:" + file + "*3"})["results"][0]["tokens"];
  };
  const Json named = steered((folder / "d.safetensors").string() + "#" + site);
  EXPECT_EQ(steered(folder / "d.safetensors"), named) << "the site's own of several";
  EXPECT_EQ(steered(folder / "d" / (site + ".npy")), named);
  EXPECT_EQ(run_cli({"generate", "--model", plain(), "--ids", "4", "--edit",
                     "hook_embed=add:" + (folder / "d.safetensors").string()})
                .status,
            2)
      << "no direction of this site";
}

TEST(ConceptCommand, ItsFileSteers) {
  TempFolder folder;
  folder.write("p.jsonl", "{\"ids\": [1, 2, 5]}\n{\"ids\": [9, 5]}\n");
  folder.write("n.jsonl", "{\"ids\": [1, 2, 6]}\n{\"ids\": [9, 6]}\n");
  const std::string site = "blocks.1.hook_resid_post", file = folder / "d.safetensors";
  const Json json =
      run_json({"concept", "--model", plain(), "--positive", folder / "p.jsonl", "--negative",
                folder / "n.jsonl", "--site", site, "--out", file})["concept"];
  const ConceptDirection wanted = concept_directions(Model::load(plain()), {{1, 2, 5}, {9, 5}},
                                                     {{1, 2, 6}, {9, 6}}, {.site = site})[0];
  EXPECT_EQ(json["sites"][0]["direction"].get<std::vector<double>>(), wanted.direction);
  EXPECT_EQ(json["sites"][0]["auc"].get<double>(), wanted.auc);
  // The stream is set to 0 and the direction added: what is captured then is the direction.
  const Json back = run_json({"capture", "--model", plain(), "--ids", "4", "--edit", site + "=zero",
                              "--edit", site + "=add:" + file + "*2", "--capture", site, "--out",
                              folder / "back.safetensors"});
  const SafetensorsFile captured(folder / "back.safetensors");
  for (size_t i = 0; i < wanted.direction.size(); ++i) {
    EXPECT_EQ(captured.tensor(site).f32()[i], 2 * static_cast<float>(wanted.direction[i]));
  }
  EXPECT_EQ(json["sites"][0]["scores"].size(), 4u);
  EXPECT_EQ(json["prompts"][2]["set"], "negative");
  EXPECT_EQ(run_cli({"concept", "--model", plain(), "--positive", folder / "p.jsonl", "--negative",
                     folder / "none.jsonl"})
                .status,
            2);
}

}  // namespace
}  // namespace vitrine::testing
