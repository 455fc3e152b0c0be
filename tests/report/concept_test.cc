// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>

#include "report/pages/concept_layout.h"
#include "results.h"
#include "tests/base/test_files.h"

// What the page of concept directions holds, and where sites stand on it.

namespace vitrine {
using namespace internal;
namespace {

using testing::data_of;
using testing::demo_source;
using testing::error_of;
using testing::says;
using testing::unpacked;

std::vector<ConceptDirection> at_sites(const std::vector<std::string>& sites) {
  std::vector<ConceptDirection> found;
  for (const std::string& site : sites) {
    found.push_back({.site = site,
                     .direction = {3, 4},
                     .norm = 5,
                     .activation_norm = 5,
                     .positive_scores = {1, 1},
                     .negative_scores = {-1, -1},
                     .auc = 1,
                     .accuracy = 1});
  }
  return found;
}

Json result_of(const std::vector<ConceptDirection>& found, const ConceptSubject& subject,
               const PageSource& source = demo_source()) {
  return data_of(concept_page(found, subject, source))["results"][0];
}

const ConceptSubject kTwoEach{.positive = {{0}, {4}}, .negative = {{5}, {10}}};

TEST(ConceptLayout, WhatEntersTheFirstBlockBeginsTheLineOfOutputs) {
  const ConceptLayout layout = concept_layout(testing::made_up_directions());
  EXPECT_EQ(layout.x, (std::vector<std::string>{"embed", "0", "1"}));
  EXPECT_EQ(layout.lines, std::vector<std::string>{"resid_post"});
  EXPECT_EQ(layout.sites, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(layout.best, 1u);
  const ConceptLayout inputs =
      concept_layout(at_sites({"blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"}));
  EXPECT_EQ(inputs.x, (std::vector<std::string>{"0", "1"}))
      << "without outputs they are a line of their own";
  EXPECT_EQ(inputs.lines, std::vector<std::string>{"resid_pre"});
}

TEST(ConceptLayout, EachKindOfSiteHasALineWithGaps) {
  const ConceptLayout layout = concept_layout(
      at_sites({"ln_final.hook_normalized", "blocks.10.attn.hook_z", "blocks.2.hook_mlp_out",
                "blocks.2.attn.hook_z", "hook_embed", "blocks.2.attn.hook_z"}));
  EXPECT_EQ(layout.x,
            (std::vector<std::string>{"embed", "2", "10", "final"}));  // by number, not by letters
  EXPECT_EQ(layout.lines, (std::vector<std::string>{"ln_final.normalized", "attn.z", "mlp_out",
                                                    "embed", "attn.z (2)"}));
  EXPECT_EQ(layout.sites, (std::vector<int32_t>{-1, -1, -1, 0,  -1, 3,  1,  -1, -1, 2,
                                                -1, -1, 4,  -1, -1, -1, -1, 5,  -1, -1}));
}

TEST(ConceptLayout, TheBestHasTheLargestAucThenTheLargestD) {
  std::vector<ConceptDirection> found =
      at_sites({"blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out", "blocks.2.hook_mlp_out",
                "blocks.3.hook_mlp_out"});
  found[0].auc = std::nan("");
  found[1].auc = 0.75, found[1].cohens_d = 9;
  found[2].cohens_d = 2;
  found[3].cohens_d = std::numeric_limits<double>::infinity();
  EXPECT_EQ(concept_layout(found).best, 3u);
  found.resize(1);
  EXPECT_EQ(concept_layout(found).best, 0u);
}

TEST(ConceptPage, HoldsPromptsScoresAndTheLargestElements) {
  std::vector<ConceptDirection> found = testing::made_up_directions();
  found[0].direction.assign(60, 0.5);
  found[0].direction[41] = -7;
  found[0].direction[3] = 6;
  found[0].direction[59] = std::nan("");
  const ConceptSubject subject = testing::made_up_subject();
  const Json data = data_of(concept_page(found, subject, demo_source())),
             result = data["results"][0];
  const auto ids = unpacked(data["tokens"]["ids"]), places = unpacked(result["token"]);
  std::vector<double> prompts;
  for (const double place : places) prompts.push_back(ids[static_cast<size_t>(place)]);
  EXPECT_EQ(prompts, (std::vector<double>{10, 14, 0, 4, 5, 10, 14, 4, 0}));
  EXPECT_EQ(unpacked(result["length"]), (std::vector<double>{2, 3, 1, 1, 2}));
  EXPECT_EQ(result["set"], Json({"positive", "positive", "positive", "negative", "negative"}));
  EXPECT_EQ(result["text"].size(), 5u);
  const auto scores = unpacked(result["scores"]);
  ASSERT_EQ(scores.size(), 3u * 5);
  EXPECT_EQ((std::vector<double>(scores.begin() + 5, scores.begin() + 10)),
            (std::vector<double>{2, -0.5, 3, -1, 0}));
  EXPECT_EQ(unpacked(result["auc"])[1], 0.875);
  EXPECT_EQ(unpacked(result["cohens_d"])[1], 1.25);
  EXPECT_EQ(unpacked(result["accuracy"])[1], 0.75);
  EXPECT_EQ(unpacked(result["norm"])[1], 2);
  EXPECT_EQ(unpacked(result["activation_norm"])[1], 10);
  EXPECT_TRUE(std::isnan(unpacked(result["auc"])[2]));
  EXPECT_EQ(unpacked(result["width"]), (std::vector<double>{60, 4, 4}));
  const auto elements = unpacked(result["largest_element"]),
             values = unpacked(result["largest_value"]);
  ASSERT_EQ(elements.size(), 3u * 50);
  EXPECT_EQ((std::vector<double>(elements.begin(), elements.begin() + 4)),
            (std::vector<double>{41, 3, 0, 1}));
  EXPECT_EQ((std::vector<double>(values.begin(), values.begin() + 3)),
            (std::vector<double>{-7, 6, 0.5}));
  EXPECT_EQ(elements[50], 3) << "each site has its own";
  EXPECT_EQ(elements[54], -1) << "a narrower direction has no more";
  EXPECT_EQ(result["steering"][1], subject.steering[1]);
  EXPECT_EQ(result["label"], "3 positive and 2 negative prompts, 3 sites, [neurons=0..3]");
  EXPECT_EQ(concept_page(found, subject, demo_source()),
            concept_page(found, subject, demo_source()));
}

/// Whether two sites have a cosine, [sites, sites].
std::string cosines_there(const Json& result) {
  std::string there;
  for (const double value : unpacked(result["cosines"])) there += std::isnan(value) ? '.' : 'x';
  return there;
}

TEST(ConceptPage, CosinesAreOfSitesThatShareABasis) {
  // By hand: (1,0,0,0), (0,0,0,-2) and (3,0,0,-4).
  const std::vector<double> expected = {1, 0, 0.6, 0, 1, 0.8, 0.6, 0.8, 1},
                            values = unpacked(result_of(testing::made_up_directions(),
                                                        testing::made_up_subject())["cosines"]);
  ASSERT_EQ(values.size(), 9u);
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(values[i], expected[i], 1e-7) << i;  // float32
  std::vector<ConceptDirection> mixed =
      at_sites({"blocks.0.hook_resid_post", "blocks.0.attn.hook_z", "hook_embed",
                "ln_final.hook_normalized", "blocks.1.hook_mlp_out", "blocks.1.hook_attn_out"});
  mixed[4].direction = {-4, 3};
  mixed[5].direction = {1, 2, 3};  // narrowed otherwise
  const Json some = result_of(mixed, kTwoEach);
  EXPECT_EQ(cosines_there(some),
            "x.x.x."
            ".x...."
            "x.x.x."
            "...x.."
            "x.x.x."
            ".....x");
  EXPECT_EQ(unpacked(some["cosines"])[2], 1);
  EXPECT_EQ(unpacked(some["cosines"])[4], 0);
  EXPECT_EQ(cosines_there(
                result_of(at_sites({"blocks.0.attn.hook_z", "blocks.1.attn.hook_z"}), kTwoEach)),
            "x..x")
      << "each layer's heads have a basis of their own";
}

TEST(ConceptPage, ElementsOfWholeHeadsKnowTheirHead) {
  PageSource source = demo_source();
  source.config.width = 4;
  std::vector<ConceptDirection> found =
      at_sites({"blocks.0.attn.hook_z", "blocks.0.hook_resid_post", "blocks.1.attn.hook_z"});
  found[0].direction = found[1].direction = {1, 2, 3, 4};  // the third is narrowed
  EXPECT_EQ(result_of(found, kTwoEach, source)["head_widths"], Json({2, 0, 0}));
}

TEST(ConceptPage, RefusesWhatDoesNotFitTogether) {
  const auto refusal = [](const std::vector<ConceptDirection>& found,
                          const ConceptSubject& subject) {
    return error_of([&] { concept_page(found, subject, demo_source()); });
  };
  EXPECT_TRUE(says(refusal({}, kTwoEach), "concept page", "expected at least one"));
  EXPECT_TRUE(says(refusal(testing::made_up_directions(), kTwoEach), "blocks.0.hook_resid_pre",
                   "3 positive and 2 negative", "2 and 2",
                   "expected the prompts of the direction"));
  ConceptSubject subject = testing::made_up_subject();
  subject.steering.pop_back();
  EXPECT_TRUE(
      says(refusal(testing::made_up_directions(), subject), "2 command lines", "3 directions"));
  subject = kTwoEach;
  subject.positive[1].assign(2'000'000, 4);
  EXPECT_TRUE(says(refusal(at_sites({"hook_embed"}), subject), "2000000 tokens", "2000003"));
  std::vector<ConceptDirection> empty = at_sites({"hook_embed"});
  empty[0].direction.clear();
  EXPECT_TRUE(says(refusal(empty, kTwoEach), "hook_embed", "is empty"));
}

}  // namespace
}  // namespace vitrine
