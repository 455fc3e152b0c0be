// SPDX-License-Identifier: MIT
#include "vitrine/analysis/similarity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

// float32 activations; the measures are ratios of sums of squares of them.
constexpr double kTolerance = 1e-5;

void expect_golden(const Similarity& found, const Json& golden) {
  const Json& wanted = golden[similarity_measure_name(found.measure)];
  ASSERT_EQ(found.rows.size(), wanted.size());
  ASSERT_EQ(found.columns.size(), wanted[0].size());
  for (size_t r = 0; r < found.rows.size(); ++r) {
    for (size_t c = 0; c < found.columns.size(); ++c)
      EXPECT_NEAR(found.at(r, c), wanted[r][c].get<double>(), kTolerance) << r << " " << c;
  }
  if (found.measure == SimilarityMeasure::kCka) return;
  EXPECT_EQ(found.row_components, golden["row_components"].get<std::vector<int64_t>>());
  EXPECT_EQ(found.column_components, golden["column_components"].get<std::vector<int64_t>>());
}

TEST(Similarity, IsNumPys) {
  const Model plain = Model::load(golden_folder("plain").string(), {.threads = 1}),
              untied = Model::load(golden_folder("untied").string(), {.threads = 1});
  for (const Json& golden : read_json(std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" /
                                      "analysis" / "goldens" / "similarity.json")) {
    const auto texts = golden["texts"].get<Batch>();
    for (const auto measure : {SimilarityMeasure::kCka, SimilarityMeasure::kSvcca}) {
      SimilarityOptions options{
          .measure = measure, .variance = golden["variance"], .batch_tokens = 20};
      const Similarity own = similarity(plain, texts, options);
      SCOPED_TRACE(std::to_string(own.tokens) + " tokens");
      expect_golden(own, golden["plain"]);
      expect_golden(similarity(plain, untied, texts, options), golden["plain_untied"]);
      EXPECT_EQ(own.passes, 1);
      options.max_bytes = 32 * 32 * 8 * 2;  // two pairs at a time
      const Similarity narrow = similarity(plain, texts, options);
      EXPECT_EQ(narrow.passes, own.tokens > 32 ? 3 : 1);
      for (size_t i = 0; i < own.values.size(); ++i)
        EXPECT_NEAR(narrow.values[i], own.values[i], 1e-12);
    }
  }
}

TEST(Similarity, OfALayerWithItselfIsOneAndOrderDoesNotMatter) {
  const Model model = small_model();
  for (const size_t texts : {2u, 5u}) {  // 18 and 45 tokens, layers 24 wide
    Batch batch;
    for (size_t i = 0; i < texts; ++i) batch.push_back(some_ids(9, i + 1));
    for (const auto measure : {SimilarityMeasure::kCka, SimilarityMeasure::kSvcca}) {
      const Similarity found =
          similarity(model, batch, {.measure = measure, .site = "blocks.*.hook_resid_p*"});
      ASSERT_EQ(found.rows,
                (std::vector<std::string>{"blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre",
                                          "blocks.2.hook_resid_pre", "blocks.0.hook_resid_post",
                                          "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"}));
      for (size_t i = 0; i < 6; ++i) {
        EXPECT_NEAR(found.at(i, i), 1, 1e-9);
        for (size_t j = 0; j < 6; ++j) {
          EXPECT_EQ(found.at(i, j), found.at(j, i));
          EXPECT_GE(found.at(i, j), 0);
          EXPECT_LE(found.at(i, j), 1 + 1e-9);
        }
      }
      EXPECT_NEAR(found.at(1, 3), 1, 1e-9) << "what leaves block 0 enters block 1";
    }
  }
}

TEST(Similarity, NarrowsAndEdits) {
  const Model model = small_model();
  const Batch texts = {some_ids(9, 1), some_ids(4, 2), some_ids(7, 3)};
  const Similarity last =
      similarity(model, texts,
                 {.site = "blocks.*.mlp.hook_post",
                  .where = {.layers = {0, 2}, .positions = {-1, 0}, .neurons = {3, 5, 30}}});
  EXPECT_EQ(last.tokens, 6);
  EXPECT_EQ(last.rows,
            (std::vector<std::string>{"blocks.0.mlp.hook_post", "blocks.2.mlp.hook_post"}));
  SimilarityOptions options;
  options.edits.edit("blocks.1.hook_resid_post", zero());
  for (const auto measure : {SimilarityMeasure::kCka, SimilarityMeasure::kSvcca}) {
    options.measure = measure;
    for (const Batch& some : {texts, Batch{some_ids(9, 1), some_ids(9, 2), some_ids(9, 3)}}) {
      const Similarity found = similarity(model, some, options);
      EXPECT_TRUE(std::isnan(found.at(1, 1)) && std::isnan(found.at(0, 1)))
          << "the same for all tokens";
      EXPECT_FALSE(std::isnan(found.at(0, 0)));
    }
  }
}

TEST(Similarity, RefusesWhatItCannotCompare) {
  const Model model = small_model();
  const Batch texts = {some_ids(9, 1), some_ids(9, 2), some_ids(9, 3)};
  const auto refuse = [&](const SimilarityOptions& options) {
    return user_error_of([&] { similarity(model, texts, options); });
  };
  EXPECT_EQ(user_error_of([&] { similarity(model, {{4}}); }),
            "1 tokens cannot be compared: expected at least 2");
  EXPECT_EQ(user_error_of([&] {
              similarity(model, {{4}, {}});
            }),
            "prompt 1 is empty: expected at least one token");
  EXPECT_EQ(refuse({.site = "blocks.*.attn.hook_pattern"}),
            "invalid site 'blocks.0.attn.hook_pattern', which is a map: expected a site with one "
            "row per token, such as blocks.*.hook_resid_post");
  EXPECT_EQ(refuse({.variance = 0}),
            "variance 0 is out of range: expected > 0 and <= 1, such as 0.99");
  EXPECT_EQ(refuse({.max_bytes = 1000}),
            "the product of 'blocks.0.hook_resid_post' and 'blocks.0.hook_resid_post' takes 4.61 "
            "kB: expected at most 1.00 kB (max_bytes); select neurons, or use no more tokens than "
            "the sites are wide");
  EXPECT_EQ(refuse({.where = {.sequences = {0}}}),
            "invalid selection of sequences for 'blocks.*.hook_resid_post': not supported for "
            "several texts");
  EXPECT_EQ(user_error_of([&] { similarity_measure_from_name("rsa"); }),
            "unknown similarity measure 'rsa': expected cka or svcca");
}

}  // namespace
}  // namespace vitrine::testing
