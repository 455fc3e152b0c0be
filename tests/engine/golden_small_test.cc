// SPDX-License-Identifier: MIT
// The engine against Hugging Face transformers in GPT-2 small's shape, with weights from a seed.
// tests/goldens/README.md.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/golden_support.h"
#include "tests/engine/test_device.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using namespace testing_support;

Config gpt2_small() {
  Config config;
  config.layers = 12;
  config.heads = 12;
  config.width = 768;
  config.inner = 3072;
  config.vocab = 50257;
  config.context = 1024;
  return config;
}

class GoldenSmallTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    golden_ = std::make_unique<Golden>("gpt2_small_random");
    ids_ = golden_->facts().at("ids").get<std::vector<int32_t>>();
    model_ = std::make_unique<Model>(
        Model::random(gpt2_small(), golden_->facts().at("seed").get<uint64_t>(), test_options()));
    Hooks hooks;
    hooks.capture("{hook_embed,ln_final.hook_normalized,blocks.*.hook_resid_post}");
    hooks.capture("blocks.*.attn.hook_{attn_scores,pattern}");
    run_ = std::make_unique<vitrine::Run>(model_->forward(ids_, hooks));
  }
  static void TearDownTestSuite() {
    run_.reset();
    model_.reset();
    golden_.reset();
  }

  static int64_t fact(const char* name) { return golden_->facts().at(name).get<int64_t>(); }

  /// The part of a captured site that the golden stores.
  static std::vector<double> sample(const std::string& site) {
    const std::vector<double> all = doubles((*run_)[site]);
    std::vector<double> part;
    if (site.ends_with("hook_pattern") || site.ends_with("hook_attn_scores")) {
      const size_t tokens = ids_.size();
      for (size_t begin = tokens * (tokens - 1); begin < all.size(); begin += tokens * tokens) {
        part.insert(part.end(), all.begin() + static_cast<int64_t>(begin),
                    all.begin() + static_cast<int64_t>(begin + tokens));
      }
      return part;
    }
    for (size_t i = 0; i < all.size(); i += static_cast<size_t>(fact("element_step")))
      part.push_back(all[i]);
    return part;
  }

  static std::unique_ptr<Golden> golden_;
  static std::unique_ptr<Model> model_;
  static std::unique_ptr<vitrine::Run> run_;
  static std::vector<int32_t> ids_;
};
std::unique_ptr<Golden> GoldenSmallTest::golden_;
std::unique_ptr<Model> GoldenSmallTest::model_;
std::unique_ptr<vitrine::Run> GoldenSmallTest::run_;
std::vector<int32_t> GoldenSmallTest::ids_;

TEST_F(GoldenSmallTest, LogitsAgree) {
  const std::vector<double> expected = doubles(golden_->tensors().tensor("logits"));
  std::vector<double> actual;
  for (int64_t position : golden_->facts().at("positions").get<std::vector<int64_t>>()) {
    const std::vector<double> row = doubles(run_->logits().slice(position));
    for (size_t id = 0; id < row.size(); id += static_cast<size_t>(fact("vocab_step")))
      actual.push_back(row[id]);
  }
  EXPECT_TRUE(within(max_error(actual, expected), golden_->spread("logits"), golden_->tolerance()));
}

TEST_F(GoldenSmallTest, EveryLayerAgrees) {
  double worst = 0.0;
  for (const Captures::Entry& entry : run_->captures().entries()) {
    const double error =
        max_error(sample(entry.name), doubles(golden_->tensors().tensor(entry.name)));
    EXPECT_TRUE(within(error, golden_->spread(entry.name), golden_->tolerance())) << entry.name;
    worst = std::max(worst, error / golden_->spread(entry.name));
  }
  EXPECT_EQ(run_->captures().entries().size(), 38u);
  fmt::print("GPT-2 small's shape: largest error {:.1e} of the spread; allowed {:.1e}\n", worst,
             golden_->tolerance());
}

TEST_F(GoldenSmallTest, GradientsAgree) {
  const Json& target = golden_->facts().at("target");
  const Backward got = backward(
      *model_, {ids_},
      {target::logit(target.at("id").get<int32_t>(), target.at("position").get<int64_t>())},
      Hooks().gradient("hook_embed"));
  const std::vector<double> gradient = doubles(got.gradient("hook_embed"));
  std::vector<double> part;
  double sum = 0.0, squares = 0.0;
  for (size_t i = 0; i < gradient.size(); ++i) {
    if (i % static_cast<size_t>(fact("element_step")) == 0) part.push_back(gradient[i]);
    sum += gradient[i];
    squares += gradient[i] * gradient[i];
  }
  const Json& facts = golden_->facts().at("sites").at("grad/hook_embed");
  const double spread = golden_->spread("grad/hook_embed"), allowed = golden_->tolerance("grad/");
  EXPECT_TRUE(within(max_error(part, doubles(golden_->tensors().tensor("grad/hook_embed"))), spread,
                     allowed));
  const double of_sums =
      8 * allowed * std::sqrt(static_cast<double>(gradient.size()));  // see SumsAgree
  EXPECT_TRUE(within(std::abs(sum - facts.at("sum").get<double>()), spread, of_sums));
  EXPECT_TRUE(within(std::abs(squares - facts.at("sum_of_squares").get<double>()), spread * spread,
                     2 * of_sums));
}

// What the samples leave out. Errors of independent sign add up to about their size times the root
// of their number; eight times that, because those of one row are not independent (one query's
// error moves all its scores one way). A single element that is wrong altogether is still a hundred
// times more.
TEST_F(GoldenSmallTest, SumsAgree) {
  for (const Captures::Entry& entry : run_->captures().entries()) {
    const Json& facts = golden_->facts().at("sites").at(entry.name);
    double sum = 0.0, squares = 0.0;
    const std::vector<double> values = doubles((*run_)[entry.name]);
    for (double value : values) {
      if (!std::isfinite(value)) continue;  // a masked score
      sum += value;
      squares += value * value;
    }
    const double allowed = 8 * golden_->tolerance() * std::sqrt(static_cast<double>(values.size()));
    EXPECT_TRUE(
        within(std::abs(sum - facts.at("sum").get<double>()), golden_->spread(entry.name), allowed))
        << entry.name;
    const double spread = golden_->spread(entry.name);
    EXPECT_TRUE(within(std::abs(squares - facts.at("sum_of_squares").get<double>()),
                       spread * spread, 2 * allowed))
        << entry.name;
  }
}

TEST_F(GoldenSmallTest, BestTokensAndLossAgree) {
  const auto best = golden_->facts().at("argmax").get<std::vector<int64_t>>();
  for (size_t position = 0; position < best.size(); ++position) {
    const std::vector<double> row = doubles(run_->logits().slice(static_cast<int64_t>(position)));
    EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), best[position])
        << "position " << position;
  }
  const double error =
      std::abs(next_token_loss(run_->logits(), ids_) - golden_->facts().at("loss").get<double>());
  EXPECT_TRUE(within(error, golden_->spread("logits"), 2 * golden_->tolerance()));
}

}  // namespace
}  // namespace vitrine
