// SPDX-License-Identifier: MIT
#include "vitrine/report/page.h"

#include <gtest/gtest.h>

#include <limits>

#include "report/packed.h"
#include "support.h"
#include "tests/base/test_files.h"
#include "vitrine/analysis.h"
#include "vitrine/report/figure.h"

// Pages as text. What a browser makes of them is browser_test.cc's matter.

namespace vitrine {
using namespace internal;
namespace {

using testing::data_of;
using testing::demo_source;
using testing::made_up_lens;
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

// The words say that numbers are means; the numbers are there with their errors and deviations.
TEST(PatchPage, OfPairsHoldsMeansErrorsAndDeviations) {
  OverPairs<Patching> found{.pairs = 12};
  const auto statistic = [](Patching& of, double clean, std::vector<double> effects) {
    of.clean = clean;
    of.grids = {{.site = Site::kZ, .over = PatchOver::kHeads, .layers = {0}, .columns = {0, 1}}};
    of.grids[0].values = of.grids[0].effects = std::move(effects);
  };
  statistic(found.mean, 3, {0.5, -0.25});
  statistic(found.standard_error, 0.5, {0.125, 0.0625});
  statistic(found.deviation, 2, {0.5, 0.25});
  const PatchSubject subject{.metric = {.answer = {}, .wrong = {}}, .pairs = 12};
  const Json result = data_of(patched_pairs_page(found, subject, demo_source()))["results"][0];
  EXPECT_EQ(result["label"], "12 pairs of prompts");
  EXPECT_EQ(result["measured"], "logit of the answer less that of the wrong one");
  EXPECT_EQ(unpacked(result["effect_mean"]), found.mean.grids[0].effects);
  EXPECT_EQ(unpacked(result["effect_standard_error"]), found.standard_error.grids[0].effects);
  EXPECT_EQ(unpacked(result["effect_deviation"]), found.deviation.grids[0].effects);
  if (can_draw_figures()) {
    const std::string svg = patched_pairs_figure(found, subject, demo_source(), FigureFormat::kSvg);
    EXPECT_NE(svg.find("</svg>"), std::string::npos);
  }
}

}  // namespace
}  // namespace vitrine
