// SPDX-License-Identifier: MIT
#include "vitrine/analysis/score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

TEST(Score, EachTokenOnceWithTheContextThatTheWindowGives) {
  const Model model = small_model();
  for (const size_t length : {2u, 5u, 12u, 13u, 14u, 24u, 37u}) {
    for (const int64_t window : {1, 2, 5, 12}) {
      for (int64_t stride = 1; stride <= window; stride += 2) {
        SCOPED_TRACE(::testing::Message()
                     << "length " << length << " window " << window << " stride " << stride);
        const auto ids = some_ids(length);
        const Score found = score(model, ids, {.window = window, .stride = stride});
        ASSERT_EQ(found.tokens.size(), length - 1);
        for (size_t i = 0; i < found.tokens.size(); ++i) {
          const TokenScore& token = found.tokens[i];
          EXPECT_EQ(token.position, static_cast<int64_t>(i) + 1);
          EXPECT_EQ(token.id, ids[i + 1]);
          EXPECT_LE(token.context, window);
          EXPECT_GE(token.context, std::min<int64_t>(token.position, window - stride + 1));
        }
      }
    }
  }
}

TEST(Score, IsTheModelsOwnProbability) {
  const Model model = small_model();
  const auto ids = some_ids(10);
  const auto run = model.forward(ids);
  const Score found = score(model, ids);
  double total = 0;
  for (size_t t = 1; t < ids.size(); ++t) {
    const auto logits = run.logits().slice(static_cast<int64_t>(t) - 1).f32();
    double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    const double loss = std::log(sum) - static_cast<double>(logits[static_cast<size_t>(ids[t])]);
    EXPECT_NEAR(found.tokens[t - 1].loss, loss, 1e-5);
    total += loss;
  }
  EXPECT_EQ(found.first, ids[0]);
  EXPECT_FALSE(score(model, ids, {.prepend = 7}).first.has_value());
  EXPECT_NEAR(found.total_nats(), total, 1e-4);
  EXPECT_NEAR(found.mean_bits() * std::log(2.0), found.mean_nats(), 1e-12);
  EXPECT_NEAR(found.perplexity(), std::exp(total / 9), 1e-3);
}

TEST(Score, AWindowIsTheSameAsItsTextAlone) {
  const Model model = small_model();
  const auto ids = some_ids(30);
  const Score found = score(model, ids, {.window = 8, .stride = 8});
  for (size_t begin = 0; begin + 9 <= ids.size(); begin += 8) {
    const std::vector<int32_t> part(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                    ids.begin() + static_cast<std::ptrdiff_t>(begin) + 9);
    const Score alone = score(model, part);
    for (size_t i = 0; i < 8; ++i)
      EXPECT_EQ(found.tokens[begin + i].loss, alone.tokens[i].loss) << begin << " " << i;
  }
}

TEST(Score, PrependingScoresTheFirstTokenToo) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Score found = score(model, ids, {.prepend = 7});
  ASSERT_EQ(found.tokens.size(), 6u);
  EXPECT_EQ(found.prepend, 7);
  EXPECT_EQ(found.tokens[0].position, 0);
  EXPECT_EQ(found.tokens[0].id, ids[0]);
  EXPECT_EQ(found.tokens[0].context, 1);
  std::vector<int32_t> longer = {7};
  longer.insert(longer.end(), ids.begin(), ids.end());
  const Score as_text = score(model, longer);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(found.tokens[i].loss, as_text.tokens[i].loss);
  EXPECT_EQ(score(model, some_ids(1), {.prepend = 7}).tokens.size(), 1u);
}

TEST(Score, SaysTheModelsChoice) {
  const Model model = small_model();
  const auto ids = some_ids(12);
  for (const TokenScore& token : score(model, ids).tokens) {
    EXPECT_LE(token.top_loss, token.loss);
    EXPECT_EQ(token.rank == 1, token.id == token.top_id);
    EXPECT_GT(token.entropy, 0);
  }
}

TEST(Score, EditsAreSeen) {
  const Model model = small_model();
  const auto ids = some_ids(20);
  ScoreOptions options{.window = 6, .stride = 2};
  const Score plain = score(model, ids, options);
  options.edits.edit("blocks.0.attn.hook_z", zero(), {.heads = {1}});
  EXPECT_NE(score(model, ids, options).mean_nats(), plain.mean_nats());
}

TEST(Score, RefusesWhatCannotBeScored) {
  const Model model = small_model();
  const auto ids = some_ids(4);
  EXPECT_EQ(user_error_of([&] { score(model, {}); }),
            "the text is empty: expected at least one token");
  EXPECT_EQ(user_error_of([&] { score(model, some_ids(1)); }),
            "a text of one token cannot be scored: expected two tokens; or prepend the end-of-text "
            "token");
  EXPECT_EQ(user_error_of([&] { score(model, ids, {.window = 13}); }),
            "window 13 is out of range: expected 1..12, the model's context");
  EXPECT_EQ(user_error_of([&] { score(model, ids, {.window = 4, .stride = 5}); }),
            "stride 5 is out of range: expected 1..4, the window");
  EXPECT_EQ(user_error_of([&] { score(model, ids, {.stride = -1}); }),
            "stride -1 is out of range: expected 1..12, the window");
  EXPECT_EQ(user_error_of([&] { score(model, ids, {.prepend = 61}); }),
            "the prepended id 61 is out of range: expected 0..60");
  EXPECT_EQ(user_error_of([&] {
              score(model, std::vector<int32_t>{1, 61});
            }),
            "token id 61 at position 1 is out of range: expected 0..60");
}

TEST(TrainingWindows, AreThePairsThatSlidingGives) {
  const auto ids = some_ids(10);
  for (const int64_t window : {1, 3, 4, 9}) {
    for (const int64_t stride : {1, 2, 3, 7, 100}) {
      SCOPED_TRACE(::testing::Message() << "window " << window << " stride " << stride);
      const auto found = training_windows(ids, window, stride);
      EXPECT_EQ(static_cast<int64_t>(found.size()), (9 - window) / stride + 1) << "all that fit";
      for (size_t k = 0; k < found.size(); ++k) {
        EXPECT_EQ(found[k].begin, static_cast<int64_t>(k) * stride);
        ASSERT_EQ(static_cast<int64_t>(found[k].inputs.size()), window);
        ASSERT_EQ(static_cast<int64_t>(found[k].targets.size()), window);
        for (size_t i = 0; i < found[k].inputs.size(); ++i) {
          EXPECT_EQ(found[k].inputs[i], ids[static_cast<size_t>(found[k].begin) + i]);
          EXPECT_EQ(found[k].targets[i], ids[static_cast<size_t>(found[k].begin) + i + 1]);
        }
      }
    }
  }
  EXPECT_EQ(user_error_of([&] { training_windows(ids, 10, 1); }),
            "a text of 10 tokens is too short for a window of 10: expected at least one token more "
            "than the window; use a smaller `window`");
  EXPECT_EQ(user_error_of([&] { training_windows(ids, 0, 1); }),
            "window 0 is out of range: expected at least 1");
  EXPECT_EQ(user_error_of([&] { training_windows(ids, 2, 0); }),
            "stride 0 is out of range: expected at least 1");
}

}  // namespace
}  // namespace vitrine::testing
