// SPDX-License-Identifier: MIT
// `vitrine attention`, `similarity`, `factors` and `concept` against the library.

#include <gtest/gtest.h>

#include <cstring>

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
  for (size_t q = 0; q < 5; ++q) {
    for (size_t j = 0; j < 5; ++j)
      EXPECT_EQ(maps["results"][0]["maps"][1]["rows"][q][j].get<float>(), wanted.row(0, 1, q)[j]);
  }
  const Json flow = run_json({"attention", "--model", plain(), "--ids", kIds, "--mode", "flow",
                              "--out", folder / "f.safetensors"});
  const AttentionRelevance row = attention_flow(model, kPrompt, {.queries = {-1}});
  EXPECT_EQ(flow["results"][0]["positions"], Json({4}));
  EXPECT_EQ(flow["results"][0]["values"][0][0].get<std::vector<double>>(), row.values);
  EXPECT_EQ(doubles(SafetensorsFile(folder / "f.safetensors"), "flow.0"), row.values);
  const Json heads = run_json({"attention", "--model", plain(), "--ids", kIds, "--mode", "heads",
                               "--layers", "0", "--sequences", "2", "--seed", "3"});
  EXPECT_EQ(heads["results"][0]["entropy"][0].get<std::vector<double>>(),
            head_statistics(model, {kPrompt}, {.layers = {0}}).entropy);
  EXPECT_EQ(heads["results"][0]["induction"][0].get<std::vector<double>>(),
            repetition_scores(model, {.layers = {0}, .sequences = 2, .seed = 3}).induction);
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
  const Json json = run_json({"factors", "--model", plain(), "--ids", kIds, "-k", "2", "--layers",
                              "1", "--seed", "7", "--out", folder / "n.safetensors"});
  const Factors wanted =
      factors(Model::load(plain()), {kPrompt}, {.components = 2, .layers = {1}, .seed = 7});
  EXPECT_EQ(json["factors"]["relative_residual"].get<double>(), wanted.relative_residual);
  EXPECT_EQ(json["factors"]["components"][1]["strengths"].get<std::vector<double>>(),
            wanted.strengths_of(1));
  EXPECT_EQ(json["factors"]["components"][0]["top_neurons"][0]["neuron"],
            wanted.top_neurons(0, 1)[0]);
  EXPECT_EQ(doubles(SafetensorsFile(folder / "n.safetensors"), "neurons"), wanted.neurons);
}

TEST(ConceptCommand, ItsFileSteers) {
  TempFolder folder;
  folder.write("p.jsonl", "{\"ids\": [1, 2, 5]}\n{\"ids\": [9, 5]}\n");
  folder.write("n.jsonl", "{\"ids\": [1, 2, 6]}\n{\"ids\": [9, 6]}\n");
  const std::string site = "blocks.1.hook_resid_post", file = folder / "d.safetensors";
  const Json json = run_json({"concept", "--model", plain(), "--positive", folder / "p.jsonl",
                              "--negative", folder / "n.jsonl", "--site", site, "--out", file});
  const ConceptDirection wanted = concept_directions(Model::load(plain()), {{1, 2, 5}, {9, 5}},
                                                     {{1, 2, 6}, {9, 6}}, {.site = site})[0];
  EXPECT_EQ(json["results"][0]["direction"].get<std::vector<double>>(), wanted.direction);
  EXPECT_EQ(json["results"][0]["auc"].get<double>(), wanted.auc);
  // The stream is set to 0 and the direction added: what is captured then is the direction.
  const Json back = run_json({"capture", "--model", plain(), "--ids", "4", "--edit", site + "=zero",
                              "--edit", site + "=add:" + file + "*2", "--capture", site, "--out",
                              folder / "back.safetensors"});
  const SafetensorsFile captured(folder / "back.safetensors");
  for (size_t i = 0; i < wanted.direction.size(); ++i) {
    EXPECT_EQ(captured.tensor(site).f32()[i], 2 * static_cast<float>(wanted.direction[i]));
  }
  EXPECT_EQ(run_cli({"concept", "--model", plain(), "--positive", folder / "p.jsonl", "--negative",
                     folder / "none.jsonl"})
                .status,
            2);
}

}  // namespace
}  // namespace vitrine::testing
