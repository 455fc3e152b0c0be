// SPDX-License-Identifier: MIT
// Words of a text. The numbers are held against tools/make_lens_goldens.py, which splits, assigns
// and sums in Python on transformers' output.

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "support.h"
#include "vitrine/analysis/score.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

// float16 weights widened to float32, sums of up to some ten tokens.
constexpr double kWordTolerance = 2e-4;

class ScoreWords : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(demo_ / "model.safetensors")) GTEST_SKIP() << "models/demo is not there";
    static const Model loaded = Model::load(demo_.string());
    model_ = loaded;
  }
  ScoreOptions after_end() const { return {.prepend = *model_->tokenizer().end_of_text()}; }

  fs::path demo_ = fs::path(VITRINE_SOURCE_DIR) / "models" / "demo";
  std::optional<Model> model_;
};

TEST_F(ScoreWords, AreTheGoldens) {
  for (const Json& wanted : read_json(fs::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" /
                                      "goldens" / "words_demo.json")) {
    const auto text = wanted["text"].get<std::string>();
    SCOPED_TRACE(text);
    const ScoreOptions options = wanted["prepend"].get<bool>() ? after_end() : ScoreOptions();
    for (const WordBoundary boundary : {WordBoundary::kLeading, WordBoundary::kTrailing}) {
      const WordScores found = score_words(*model_, text, boundary, options);
      EXPECT_EQ(found.boundary, boundary);
      ASSERT_EQ(found.words.size(), wanted["words"].size());
      for (size_t w = 0; w < found.words.size(); ++w) {
        const Json& want = wanted["words"][w];
        const WordScore& word = found.words[w];
        EXPECT_EQ(word.text, want[0].get<std::string>());
        EXPECT_EQ(text.substr(word.begin, word.end - word.begin), word.text);
        EXPECT_EQ(word.first, want[1].get<int64_t>());
        EXPECT_EQ(word.tokens, want[2].get<int64_t>());
        EXPECT_FALSE(word.shares_token);
        const Json& value = want[boundary == WordBoundary::kLeading ? 3 : 4];
        if (value.is_null())
          EXPECT_TRUE(std::isnan(word.surprisal)) << word.text;
        else
          EXPECT_NEAR(word.surprisal, value.get<double>(), kWordTolerance) << word.text;
      }
      EXPECT_NEAR(found.white_space_end, wanted["rest"].get<double>(), kWordTolerance);
    }
  }
}

TEST_F(ScoreWords, AddUpToTheText) {
  const std::string text = "The keys to the cabinet are on the table. \n";
  const WordScores found = score_words(*model_, text, WordBoundary::kLeading, after_end());
  EXPECT_NEAR(found.total_nats() + found.white_space_end, found.tokens.total_nats(), 1e-9);
  EXPECT_EQ(found.scored(), 9);
  EXPECT_NEAR(found.mean_nats() * 9, found.total_nats(), 1e-9);
  EXPECT_EQ(found.words[0].context, 1);
  EXPECT_EQ(found.tokens.tokens.size(), model_->tokenizer().encode(text).size())
      << "no token that is not the text's";
}

// Each word's boundary is its neighbour's, so all but the ends cancel.
TEST_F(ScoreWords, BoundariesTelescope) {
  const std::string text = "The keys to the cabinet are on the table";
  const ScoreOptions options = after_end();
  const WordScores leading = score_words(*model_, text, WordBoundary::kLeading, options),
                   trailing = score_words(*model_, text, WordBoundary::kTrailing, options);
  double moved = 0;
  for (size_t w = 0; w < leading.words.size(); ++w)
    moved += trailing.words[w].surprisal - leading.words[w].surprisal;
  // What is left: log p(no white space | start) - log B(text), from the model's own logits.
  std::vector<int32_t> ids = {options.prepend};
  for (const int32_t id : model_->tokenizer().encode(text)) ids.push_back(id);
  const auto run = model_->forward(ids);
  const auto mass = [&](int64_t row, bool boundary) {
    double inside = 0, all = 0;
    const auto logits = run.logits().slice(row).f32();
    for (size_t v = 0; v < logits.size(); ++v) {
      const std::string bytes = model_->tokenizer().token_bytes(static_cast<int32_t>(v));
      const bool ends =
          static_cast<int32_t>(v) == options.prepend || bytes.find_first_of(" \t\n\r\v\f") == 0;
      all += std::exp(static_cast<double>(logits[v]));
      if (ends == boundary) inside += std::exp(static_cast<double>(logits[v]));
    }
    return std::log(inside / all);
  };
  EXPECT_NEAR(moved, mass(0, false) - mass(static_cast<int64_t>(ids.size()) - 1, true), 1e-5);
}

TEST_F(ScoreWords, AWindowSlidesOverALongText) {
  std::string text;
  for (int i = 0; i < 4; ++i) text += "The keys to the cabinet are on the table. ";
  ScoreOptions options{.window = 16, .stride = 5};
  const WordScores leading = score_words(*model_, text, WordBoundary::kLeading, options),
                   trailing = score_words(*model_, text, WordBoundary::kTrailing, options);
  ASSERT_EQ(leading.words.size(), 36u);
  EXPECT_TRUE(std::isnan(leading.words[0].surprisal)) << "cannot be scored";
  EXPECT_EQ(leading.scored(), 35);
  EXPECT_EQ(trailing.scored(), 35);
  for (size_t i = 0; i < leading.tokens.tokens.size(); ++i)
    EXPECT_EQ(leading.tokens.tokens[i].loss, trailing.tokens.tokens[i].loss) << i;
  for (size_t w = 2; w < leading.words.size(); ++w)
    EXPECT_GE(leading.words[w].context, std::min<int64_t>(leading.words[w].first, 12));
}

TEST_F(ScoreWords, RefusesTextsWithoutWords) {
  EXPECT_EQ(user_error_of([&] { score_words(*model_, " \n\t", WordBoundary::kLeading); }),
            "the text has no words: expected at least one");
  EXPECT_EQ(user_error_of([&] { word_boundary_from_name("both"); }),
            "unknown word boundary 'both': expected leading or trailing");
  EXPECT_TRUE(
      says(user_error_of([&] { score_words(small_model(), "a b", WordBoundary::kLeading); }),
           "tokenizer"));
}

}  // namespace
}  // namespace vitrine::testing
