// SPDX-License-Identifier: MIT
#include "vitrine/analysis/concepts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

using Vectors = std::vector<std::vector<double>>;

/// A site's activations of each text, pooled, without the library.
Vectors pooled(const Model& model, const Batch& texts, const std::string& site, bool last) {
  Vectors found;
  for (const auto& text : texts) {
    const vitrine::Run run = model.forward(text, Hooks().capture(site));
    const TensorView values = run[site];
    const size_t width = static_cast<size_t>(values.elements()) / text.size();
    std::vector<double> sum(width);
    for (size_t t = last ? text.size() - 1 : 0; t < text.size(); ++t) {
      for (size_t i = 0; i < width; ++i) sum[i] += values.f32()[t * width + i];
    }
    for (double& x : sum) x /= last ? 1.0 : static_cast<double>(text.size());
    found.push_back(sum);
  }
  return found;
}

std::vector<double> mean_of(const Vectors& all, size_t without) {
  std::vector<double> mean(all[0].size());
  for (size_t t = 0; t < all.size(); ++t) {
    for (size_t i = 0; i < mean.size(); ++i)
      mean[i] +=
          t == without ? 0 : all[t][i] / static_cast<double>(all.size() - (without < all.size()));
  }
  return mean;
}

double place(const std::vector<double>& x, const std::vector<double>& p,
             const std::vector<double>& n) {
  double along = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    along += (x[i] - (p[i] + n[i]) / 2) * (p[i] - n[i]);
    size += (p[i] - n[i]) * (p[i] - n[i]);
  }
  return along / std::sqrt(size);
}

Batch some_texts(size_t count, uint64_t seed, int32_t last) {
  Batch texts;
  for (size_t i = 0; i < count; ++i) {
    texts.push_back(some_ids(3 + i % 4, seed + i));
    if (last >= 0) texts.back().back() = last;
  }
  return texts;
}

TEST(Concepts, FollowTheirDefinition) {
  const Model model = small_model();
  const Batch positive = some_texts(5, 10, -1), negative = some_texts(4, 50, -1);
  for (const auto pooling : {ConceptPooling::kLast, ConceptPooling::kMean}) {
    const auto found = concept_directions(
        model, positive, negative,
        {.site = "blocks.{0,2}.attn.hook_z", .pooling = pooling, .batch_tokens = 7});
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[1].site, "blocks.2.attn.hook_z");
    const auto p = pooled(model, positive, found[1].site, pooling == ConceptPooling::kLast),
               n = pooled(model, negative, found[1].site, pooling == ConceptPooling::kLast);
    const auto p_mean = mean_of(p, 99), n_mean = mean_of(n, 99);
    double norm = 0;
    for (size_t i = 0; i < p_mean.size(); ++i) {
      EXPECT_NEAR(found[1].direction[i], p_mean[i] - n_mean[i], 1e-12);
      norm += (p_mean[i] - n_mean[i]) * (p_mean[i] - n_mean[i]);
    }
    EXPECT_NEAR(found[1].norm, std::sqrt(norm), 1e-12);
    for (size_t t = 0; t < 5; ++t)
      EXPECT_NEAR(found[1].positive_scores[t], place(p[t], mean_of(p, t), mean_of(n, t)), 1e-9);
    for (size_t t = 0; t < 4; ++t)
      EXPECT_NEAR(found[1].negative_scores[t], place(n[t], mean_of(p, t), mean_of(n, t)), 1e-9);
  }
}

TEST(Concepts, SeparationIsOfTheScores) {
  const Model model = small_model();
  const ConceptDirection found = concept_directions(
      model, some_texts(6, 1, -1), some_texts(5, 40, -1), {.site = "blocks.1.hook_resid_post"})[0];
  const auto &p = found.positive_scores, &n = found.negative_scores;
  double wins = 0, right_p = 0, right_n = 0, p_sum = 0, n_sum = 0, squares = 0;
  for (const double a : p) {
    p_sum += a;
    right_p += a > 0;
    for (const double b : n) wins += a > b ? 1 : a == b ? 0.5 : 0;
  }
  for (const double b : n) {
    n_sum += b;
    right_n += b < 0;
  }
  for (const double a : p) squares += (a - p_sum / 6) * (a - p_sum / 6);
  for (const double b : n) squares += (b - n_sum / 5) * (b - n_sum / 5);
  EXPECT_NEAR(found.auc, wins / 30, 1e-12);
  EXPECT_NEAR(found.accuracy, (right_p / 6 + right_n / 5) / 2, 1e-12);
  EXPECT_NEAR(found.cohens_d, (p_sum / 6 - n_sum / 5) / std::sqrt(squares / 9), 1e-9);
}

TEST(Concepts, HeldOutTextsTellAConceptFromNone) {
  const Model model = small_model();
  // The last tokens differ between the sets, and their embeddings are at every layer's input.
  const ConceptDirection there = concept_directions(
      model, some_texts(8, 1, 5), some_texts(8, 60, 31), {.site = "hook_embed"})[0];
  EXPECT_EQ(there.auc, 1);
  EXPECT_EQ(there.accuracy, 1);
  // Two sets of the same kind: in the sample a direction always separates, held out it must not.
  double auc = 0;
  for (uint64_t draw = 0; draw < 10; ++draw) {
    auc += concept_directions(model, some_texts(6, 1000 + 20 * draw, -1),
                              some_texts(6, 5000 + 20 * draw, -1),
                              {.site = "blocks.2.hook_resid_post"})[0]
               .auc /
           10;
  }
  EXPECT_LT(auc, 0.7) << "ten draws around a half";
}

TEST(Concepts, AddingTheDirectionMovesOneMeanToTheOther) {
  const Model model = small_model();
  const Batch positive = some_texts(4, 1, 5), negative = some_texts(4, 60, 31);
  const std::string site = "blocks.1.hook_resid_post";
  const ConceptDirection found = concept_directions(model, positive, negative, {.site = site})[0];
  ConceptOptions steered{.site = site};
  const std::vector<float> direction(found.direction.begin(), found.direction.end());
  steered.edits.edit(site, add(Tensor::from(direction)));
  const ConceptDirection after = concept_directions(model, positive, negative, steered)[0];
  for (size_t i = 0; i < direction.size(); ++i)
    EXPECT_NEAR(after.direction[i], found.direction[i], 1e-5) << "both moved alike";
  const auto before = mean_of(pooled(model, negative, site, true), 99),
             wanted = mean_of(pooled(model, positive, site, true), 99);
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_NEAR(before[i] + found.direction[i], wanted[i], 1e-12);
}

TEST(Concepts, TextsThatAreAllTheSameHaveNoDirection) {
  const ConceptDirection found = concept_directions(small_model(), {{1, 2}, {1, 2}},
                                                    {{1, 2}, {1, 2}}, {.site = "hook_embed"})[0];
  EXPECT_EQ(found.norm, 0);
  EXPECT_TRUE(std::isnan(found.auc) && std::isnan(found.cohens_d) && std::isnan(found.accuracy));
}

TEST(Concepts, RefuseWhatLeavesNothing) {
  const Model model = small_model();
  const Batch two = {{1, 2}, {3}};
  EXPECT_EQ(user_error_of([&] { concept_directions(model, {{1}}, two); }),
            "1 positive prompts: expected at least 2, because one is held out");
  EXPECT_EQ(user_error_of([&] { concept_directions(model, two, {}); }),
            "0 negative prompts: expected at least 2, because one is held out");
  EXPECT_EQ(user_error_of([&] {
              concept_directions(model, two, two, {.site = "blocks.0.attn.hook_pattern"});
            }),
            "invalid site 'blocks.0.attn.hook_pattern', which is a map: expected a site with one "
            "row per token, such as blocks.*.hook_resid_post");
  EXPECT_EQ(
      user_error_of([&] { concept_directions(model, two, two, {.where = {.positions = {0}}}); }),
      "invalid selection of positions for 'blocks.*.hook_resid_post': pooling (last or mean) "
      "determines them");
  EXPECT_EQ(user_error_of([&] { concept_pooling_from_name("max"); }),
            "unknown pooling 'max': expected last or mean");
}

}  // namespace
}  // namespace vitrine::testing
