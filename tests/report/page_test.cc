// SPDX-License-Identifier: MIT
#include "vitrine/report/page.h"

#include <gtest/gtest.h>

#include <limits>

#include "report/figures/figure.h"
#include "report/packed.h"
#include "report/results/patch_result.h"
#include "report/results/results.h"
#include "support.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis.h"
#include "vitrine/report/figure.h"

// Pages as text. What a browser makes of them is browser_test.cc's matter.

namespace vitrine {
using namespace internal;
namespace {

using testing::characters;
using testing::data_of;
using testing::demo_source;
using testing::made_up_lens;
using testing::says;
using testing::unpacked;

std::string page_of(const Lens& lens, const PageSource& source) {
  return lens_page({&lens, 1}, source);
}

/// Packed numbers as the page's script reads them.
template <typename T>
Json as_read(const std::vector<T>& values) {
  return Json::parse(packed(values).dump());
}

TEST(Packed, NumbersComeBackForEveryRestOfThree) {
  for (size_t count : {0, 1, 2, 3, 4, 5}) {
    std::vector<double> values;
    for (size_t i = 0; i < count; ++i) values.push_back(0.1 * static_cast<double>(i) - 0.15);
    const std::vector<double> read = unpacked(as_read(values));
    ASSERT_EQ(read.size(), count);
    for (size_t i = 0; i < count; ++i)
      EXPECT_EQ(read[i], static_cast<double>(static_cast<float>(values[i])));
  }
}

TEST(Packed, IntegersTakeTheSmallestTypeThatHoldsAll) {
  EXPECT_EQ(as_read(std::vector<int32_t>{0, 65535})["type"], "u16");
  EXPECT_EQ(as_read(std::vector<int32_t>{0, 65536})["type"], "i32");
  EXPECT_EQ(as_read(std::vector<int32_t>{-1})["type"], "i32");
  EXPECT_EQ(unpacked(as_read(std::vector<int32_t>{-1, 70000, 5})),
            (std::vector<double>{-1, 70000, 5}));
  EXPECT_EQ(unpacked(as_read(std::vector<int64_t>{3, 65535})), (std::vector<double>{3, 65535}));
}

TEST(Packed, WhatIsNoNumberStaysNone) {
  const auto read =
      unpacked(as_read(std::vector<double>{std::nan(""), std::numeric_limits<double>::infinity()}));
  EXPECT_TRUE(std::isnan(read[0]));
  EXPECT_TRUE(std::isinf(read[1]));
}

TEST(Page, HoldsTheNumbersOfTheLens) {
  const Lens lens = made_up_lens(4, 6, 3, 2, 17);
  const Json data = data_of(page_of(lens, demo_source()));
  const Json& result = data["results"][0];
  EXPECT_EQ(unpacked(result["target_rank"]),
            std::vector<double>(lens.target_ranks.begin(), lens.target_ranks.end()));
  EXPECT_EQ(unpacked(result["watch_rank"]),
            std::vector<double>(lens.watch_ranks.begin(), lens.watch_ranks.end()));
  const auto log_probs = unpacked(result["top_log_probability"]);
  ASSERT_EQ(log_probs.size(), lens.top_log_probs.size());
  for (size_t i = 0; i < log_probs.size(); ++i)
    EXPECT_EQ(log_probs[i], static_cast<double>(static_cast<float>(lens.top_log_probs[i])));
  const auto ids = unpacked(data["tokens"]["ids"]), places = unpacked(result["top_token"]);
  for (size_t i = 0; i < places.size(); ++i)
    EXPECT_EQ(ids[static_cast<size_t>(places[i])], lens.top_ids[i]);
  EXPECT_EQ(result["rows"], Json({"embed", "0", "1", "logits"}));
  EXPECT_EQ(result["site"],
            Json({"embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "logits"}));
}

TEST(Page, NoTokenEndsTheScriptItStandsIn) {
  const std::vector<std::string> tokens = testing::hostile_tokens();
  Lens lens =
      made_up_lens(2, static_cast<int>(tokens.size()), 1, 0, static_cast<int32_t>(tokens.size()));
  for (size_t i = 0; i < tokens.size(); ++i) lens.ids[i] = static_cast<int32_t>(i);
  const std::string page = page_of(lens, demo_source());
  const std::string data = testing::between(page, "id=\"data\">", "</script>");
  EXPECT_EQ(data.find('<'), std::string::npos);
  const Json parsed = Json::parse(data);
  const auto ids = unpacked(parsed["tokens"]["ids"]);
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(parsed["tokens"]["texts"][i], printable(tokens[static_cast<size_t>(ids[i])]));
  // Outside the data the texts stand in the title and the heading, and what names the model and the
  // command is text, too.
  EXPECT_EQ(page.find("<script>throw"), std::string::npos);
  EXPECT_TRUE(testing::says(page, "small &lt;model&gt;", "&lt;b&gt;&amp;"));
}

TEST(Page, SameBytesTwice) {
  const Lens lens = made_up_lens(3, 5, 2, 1, 17);
  EXPECT_EQ(page_of(lens, demo_source()), page_of(lens, demo_source()));
}

TEST(Page, LoadsNothing) {
  const std::string page = page_of(made_up_lens(3, 5, 2, 1, 17), demo_source());
  for (const char* word : {"http://", "https://", " src=", "<link", "@import", "url("}) {
    const size_t at = page.find(word);
    // The one address is the name of SVG's vocabulary, which is never fetched.
    if (std::string_view(word) == "http://")
      EXPECT_EQ(page.compare(at, 26, "http://www.w3.org/2000/svg"), 0);
    else
      EXPECT_EQ(at, std::string::npos) << word;
  }
  EXPECT_TRUE(testing::says(page, "default-src 'none'"));
}

// The size does not depend on the values, so made-up ones measure the real thing: GPT-2 XL's layers
// over a whole context.
TEST(Page, AWholeContextThroughFortyEightLayersIsUnderFiveMegabytes) {
  constexpr int32_t kVocab = 50257;
  std::vector<std::string> tokens;
  for (int32_t id = 0; id < kVocab; ++id) tokens.push_back(" token" + std::to_string(id % 1000));
  const std::string page =
      page_of(made_up_lens(49, 1024, 5, 0, kVocab), demo_source(std::move(tokens)));
  EXPECT_LT(page.size(), 5'000'000u);
}

TEST(Page, WithoutATokenizerTokensAreIds) {
  PageSource source = demo_source();
  source.tokenizer = nullptr;
  const Json data = data_of(page_of(made_up_lens(2, 3, 1, 0, 17), source));
  EXPECT_EQ(data["tokens"]["texts"][0].get<std::string>()[0], '#');
  EXPECT_EQ(data["results"][0]["label"], "3 ids");
}

TEST(Page, NothingToShowIsAnError) {
  EXPECT_TRUE(testing::says(testing::error_of([] { lens_page({}, demo_source()); }), "lens page",
                            "expected at least one"));
}

// Senders come as a list; the page lays them out by layer and head.
TEST(PatchPage, SendersStandWhereTheyAreInTheModel) {
  PathPatching found;
  using Kind = PathNode::Kind;
  found.senders = {{.kind = Kind::kMlp, .layer = 1},
                   {.kind = Kind::kHead, .layer = 0, .head = 1},
                   {.kind = Kind::kEmbedding}};
  found.values = {1, 2, 3};
  found.effects = {0.25, 0.5, 0.75};
  const Json result = data_of(
      path_page(found, {.clean = {10, 2}, .corrupt = {10, 3}}, demo_source()))["results"][0];
  EXPECT_EQ(result["grids"][0]["rows"], Json({"embed", "0", "1"}));
  EXPECT_EQ(result["grids"][0]["columns"], Json({"head 0", "head 1", "MLP"}));
  EXPECT_EQ(unpacked(result["effect"]), found.effects);
  EXPECT_EQ(unpacked(result["sender_at"]),
            (std::vector<double>{-1, -1, 2, -1, 1, -1, -1, -1, 0}));  // -1: no such sender
}

/// Two numbers of 12 pairs: of heads, or of the senders that they have the places of.
template <typename Found, typename Set>
OverPairs<Found> two_of_pairs(Set set) {
  OverPairs<Found> found{.pairs = 12};
  set(found.mean, 3, std::vector<double>{0.5, -0.25});
  set(found.standard_error, 0.5, std::vector<double>{0.125, 0.0625});
  set(found.deviation, 2, std::vector<double>{0.5, 0.25});
  return found;
}

OverPairs<Patching> patched_heads() {
  return two_of_pairs<Patching>([](Patching& of, double clean, std::vector<double> effects) {
    of.clean = clean;
    of.corrupt = clean / 4;
    of.grids = {{.site = Site::kZ, .over = PatchOver::kHeads, .layers = {0}, .columns = {0, 1}}};
    of.grids[0].values = of.grids[0].effects = std::move(effects);
  });
}

Json printed(const Result& result) {
  return Json::parse(result_json(result, Names(nullptr)).dump());
}

Json statistic(double mean, double standard_error, double deviation) {
  return {{"mean", mean}, {"standard_error", standard_error}, {"deviation", deviation}};
}

const PatchSubject kTwelvePairs{.metric = {.answer = {}, .wrong = {}}, .pairs = 12};

// What a figure writes into its cells and below them. Hundredths of 0.125 and 0.0625 are 13 and 6.
TEST(PairsFigure, CellsSayMeansWithStandardErrors) {
  using Texts = std::vector<std::string>;
  const auto panel = [](const Result& result) { return std::get<HeatPanel>(result.panels[0]); };
  const HeatPanel heads = panel(patched_pairs_result(patched_heads(), kTwelvePairs, demo_source()));
  EXPECT_EQ(heads.title, "attn.hook_z");
  EXPECT_EQ(heads.texts, (Texts{"+50 ±13", "-25 ±6"}));
  EXPECT_EQ(heads.columns, (Texts{"0", "1"}));
  EXPECT_EQ(heads.value_name,
            "effect on the logit of the answer less that of the wrong one, mean ± standard error "
            "in hundredths");
  EXPECT_TRUE(says(heads.cells, "standard error of 12 pairs"));

  OverPairs<Patching> two = patched_heads();  // sites have errors of their own
  for (Patching* of : {&two.mean, &two.standard_error, &two.deviation}) {
    of->grids.push_back(of->grids[0]);
    of->grids[1].site = Site::kQ;
  }
  two.standard_error.grids[1].effects = {0.25, 0.5};
  const auto panels = patched_pairs_result(two, kTwelvePairs, demo_source()).panels;
  EXPECT_EQ(std::get<HeatPanel>(panels.at(1)).texts, (Texts{"+50 ±25", "-25 ±50"}));

  const auto senders =
      two_of_pairs<PathPatching>([](PathPatching& of, double clean, std::vector<double> effects) {
        of.clean = clean;
        of.senders = {{PathNode::Kind::kMlp, 0, 0}, {PathNode::Kind::kHead, 0, 1}};
        of.values = of.effects = std::move(effects);
      });
  const HeatPanel paths = panel(path_pairs_result(senders, kTwelvePairs, demo_source()));
  EXPECT_EQ(paths.columns, (Texts{"head 0", "head 1", "MLP"}));
  EXPECT_EQ(paths.rows, (Texts{"embed", "0"}));
  EXPECT_EQ(paths.texts, (Texts{"", "", "", "", "-25 ±6", "+50 ±13"}));

  AttributedPairs parts;
  parts.clean = two_of_pairs<LogitAttribution>(
      [](LogitAttribution& of, double logit, std::vector<double> heads_of) {
        of.layers = 1;
        of.heads = 2;
        of.head = std::move(heads_of);
        of.attention_bias = {0};
        of.mlp = {logit};
      });
  const HeatPanel sums = panel(attributed_pairs_result(parts, demo_source()));
  EXPECT_EQ(sums.columns, (Texts{"0", "1", "bias", "MLP"}));
  EXPECT_EQ(sums.texts, (Texts{"+50 ±13", "-25 ±6", "+0 ±0", "+300 ±50"}));

  // The differences have statistics of their own, and stand beside those of the clean prompts.
  parts.difference = parts.clean;
  parts.difference->mean.head = {4, 5};
  parts.difference->standard_error.mlp = {7};
  parts.difference->deviation.head = {8, 9};
  parts.difference->deviation.embedding = 6;
  const Json json = printed(attributed_pairs_result(parts, demo_source()));
  const Json& both = json["layers"][0];
  EXPECT_EQ(both["heads"][1], statistic(-0.25, 0.0625, 0.25));
  EXPECT_EQ(both["mlp"], statistic(3, 0.5, 2));
  EXPECT_EQ(both["difference"]["heads"][1], statistic(5, 0.0625, 9));
  EXPECT_EQ(both["difference"]["mlp"], statistic(3, 7, 2));
  EXPECT_EQ(json["difference"]["embedding"], statistic(0, 0, 6));
  EXPECT_EQ(json["embedding"], statistic(0, 0, 0));

  if (!can_draw_figures()) return;
  HeatPanel bare = heads;
  bare.texts.clear();
  const auto drawn = [](const HeatPanel& of) {
    return characters(draw_figure({of}, FigureFormat::kSvg));
  };
  EXPECT_GE(drawn(heads), drawn(bare) + 11) << "the cells are written, blanks aside";
}

// The words say that numbers are means; the numbers are there with their errors and deviations.
TEST(PatchPage, OfPairsHoldsMeansErrorsAndDeviations) {
  const OverPairs<Patching> found = patched_heads();
  const Json result = data_of(patched_pairs_page(found, kTwelvePairs, demo_source()))["results"][0];
  EXPECT_EQ(result["label"], "12 pairs of prompts");
  EXPECT_EQ(result["measured"], "logit of the answer less that of the wrong one");
  EXPECT_EQ(unpacked(result["effect_mean"]), found.mean.grids[0].effects);
  EXPECT_EQ(unpacked(result["effect_standard_error"]), found.standard_error.grids[0].effects);
  EXPECT_EQ(unpacked(result["effect_deviation"]), found.deviation.grids[0].effects);
  const Json json = printed(patched_pairs_result(found, kTwelvePairs, demo_source()));
  EXPECT_EQ(json["clean"], statistic(3, 0.5, 2));
  EXPECT_EQ(json["corrupt"], statistic(0.75, 0.125, 0.5));
  EXPECT_EQ(json["cells"][1]["effect"], statistic(-0.25, 0.0625, 0.25));
}

}  // namespace
}  // namespace vitrine
