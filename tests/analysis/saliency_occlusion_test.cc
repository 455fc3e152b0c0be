// SPDX-License-Identifier: MIT
// Occlusion of tokens and of spans, which run forward only.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "analysis/common/word_spans.h"
#include "support.h"
#include "tests/run_values.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine::testing {
using namespace internal;
namespace {

SaliencyOptions occlusion(Replacement mask, int32_t target = 20) {
  SaliencyOptions options;
  options.method = SaliencyMethod::kOcclusion;
  options.mask = std::move(mask);
  options.target = target;
  return options;
}

double last_logit(const Model& model, const std::vector<int32_t>& ids, int32_t target,
                  const Hooks& hooks = {}) {
  return static_cast<double>(
      testing_support::logits_of(model.forward(ids, hooks, {.logits = LogitRows::kLast}))
          .f32()[static_cast<size_t>(target)]);
}

// Logits are of size 1 here, and f is a difference of two of them, found by two kernels that sum
// alike.
constexpr double kRounding = 2e-6;

TEST(Occlusion, DeletionIsTheTextWithoutTheToken) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Saliency found = saliency(model, ids, occlusion({.kind = Replacement::Kind::kDelete}));
  const double whole = last_logit(model, ids, 20);
  for (size_t i = 0; i < ids.size(); ++i) {
    auto shorter = ids;
    shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_NEAR(found.scores[i], whole - last_logit(model, shorter, 20), kRounding);
  }
}

TEST(Occlusion, ATokenInItsPlaceIsAnotherText) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Saliency found =
      saliency(model, ids, occlusion({.kind = Replacement::Kind::kToken, .token = 11}));
  const double whole = last_logit(model, ids, 20);
  for (size_t i = 0; i < ids.size(); ++i) {
    auto other = ids;
    other[i] = 11;
    EXPECT_NEAR(found.scores[i], whole - last_logit(model, other, 20), kRounding);
  }
}

TEST(Occlusion, TheMeanIsThatOfTheVocabulary) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  std::vector<int32_t> all(61);
  std::iota(all.begin(), all.end(), 0);
  const Tensor table = model.embed(all);
  Tensor mean(DType::kF32, {24});
  for (size_t i = 0; i < 61 * 24; ++i) mean.f32()[i % 24] += table.f32()[i] / 61;
  const Saliency found = saliency(model, ids, occlusion({.kind = Replacement::Kind::kMean}));
  for (int64_t i = 0; i < 6; ++i) {
    Hooks hooks;
    hooks.edit("hook_embed", replace(mean), {.positions = {i}});
    EXPECT_NEAR(found.scores[static_cast<size_t>(i)],
                last_logit(model, ids, 20) - last_logit(model, ids, 20, hooks), kRounding);
  }
}

TEST(Occlusion, ATokensOwnEmbeddingChangesNothing) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  const Saliency found = saliency(
      model, ids, occlusion({.kind = Replacement::Kind::kTensor, .tensor = model.embed(ids)}));
  for (const double score : found.scores) EXPECT_EQ(score, 0) << "not even by rounding";
  for (const double share : found.shares) EXPECT_EQ(share, 0);
}

TEST(Occlusion, CannotDeleteEverything) {
  const Model model = small_model();
  const SaliencyOptions options = occlusion({.kind = Replacement::Kind::kDelete});
  EXPECT_EQ(user_error_of([&] { saliency(model, some_ids(1), options); }),
            "cannot delete all 1 tokens of the input: use zero, mean or a token as mask");
}

/// Words of two tokens, then three, then one, again and again.
std::vector<int64_t> some_words(int64_t tokens) {
  std::vector<int64_t> words;
  for (int64_t at = 0, size = 2; at < tokens; at += size, size = size % 3 + 1) words.push_back(at);
  return words;
}

TEST(Spans, LengthsAreGeometric) {
  const SpanOptions options;
  constexpr int kGrid = 1000000;
  std::vector<double> counts(11, 0.0);
  for (int i = 0; i < kGrid; ++i)
    counts[static_cast<size_t>(span_length(options, (i + 0.5) / kGrid))] += 1.0 / kGrid;
  double mean = 0, previous = 0;
  for (size_t k = 1; k <= 10; ++k) {
    mean += static_cast<double>(k) * counts[k];
    EXPECT_NEAR(counts[k], k == 1 ? counts[1] : 0.8 * previous, 1e-5);
    previous = counts[k];
  }
  EXPECT_NEAR(mean, 3.80, 0.005) << "SpanBERT, section 3.1";
}

TEST(Spans, MaskWholeWordsWithinTheBudget) {
  SpanOptions options;
  options.budget = 0.2;
  const int64_t tokens = 60;
  const std::vector<int64_t> words = some_words(tokens);
  for (int draw = 0; draw < 200; ++draw) {
    const MaskDraw masks = draw_masks(options, words, tokens, draw);
    ASSERT_FALSE(masks.spans.empty());
    EXPECT_LE(masks.spans.size(), 12u);
    EXPECT_GE(masks.spans.size(), 10u)
        << "a word of one token would still have fitted into room for more";
    EXPECT_EQ(masks.spans.size(), masks.scattered.size());
    for (const auto* positions : {&masks.spans, &masks.scattered}) {
      EXPECT_TRUE(std::is_sorted(positions->begin(), positions->end()));
      EXPECT_EQ(std::set<int64_t>(positions->begin(), positions->end()).size(), positions->size())
          << "each once";
      EXPECT_GE(positions->front(), 0);
      EXPECT_LT(positions->back(), tokens);
    }
    const std::set<int64_t> masked(masks.spans.begin(), masks.spans.end());
    for (size_t w = 0; w < words.size(); ++w) {
      const int64_t end = w + 1 < words.size() ? words[w + 1] : tokens;
      for (int64_t i = words[w]; i < end; ++i)
        EXPECT_EQ(masked.contains(i), masked.contains(words[w])) << "word " << w;
    }
  }
}

TEST(Spans, AreContiguousWhereScatteredTokensAreNot) {
  const SpanOptions options;
  std::vector<int64_t> words(200);
  std::iota(words.begin(), words.end(), 0);
  const auto runs = [](const std::vector<int64_t>& positions) {
    int count = 0;
    for (size_t i = 0; i < positions.size(); ++i)
      count += i == 0 || positions[i] != positions[i - 1] + 1;
    return count;
  };
  double spans = 0, scattered = 0;
  for (int draw = 0; draw < 100; ++draw) {
    const MaskDraw masks = draw_masks(options, words, 200, draw);
    EXPECT_EQ(masks.spans.size(), 30u);
    spans += runs(masks.spans) / 100.0;
    scattered += runs(masks.scattered) / 100.0;
  }
  // 30 tokens in spans of 3.8 are 8 runs, a little fewer where they touch, more where the last is
  // cut; scattered ones 30 * 171 / 200 = 25.65.
  EXPECT_NEAR(spans, 8, 1.5);
  EXPECT_NEAR(scattered, 25.65, 1);
}

TEST(Spans, ComeFromTheSeedAndTheDraw) {
  const std::vector<int64_t> words = some_words(60);
  const auto spans = [&](uint64_t seed, int draw) {
    return draw_masks({.seed = seed}, words, 60, draw).spans;
  };
  EXPECT_EQ(spans(1, 0), spans(1, 0));
  EXPECT_NE(spans(1, 0), spans(1, 1));
  EXPECT_NE(spans(1, 0), spans(2, 0));
}

TEST(Spans, AWordLongerThanTheBudgetIsMaskedWhole) {
  const std::vector<int64_t> words = {0};
  EXPECT_EQ(draw_masks({}, words, 4, 0).spans, (std::vector<int64_t>{0, 1, 2, 3}));
}

/// Knows the bytes of a few ids.
class FewTokens : public Tokenizer {
 public:
  explicit FewTokens(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  std::vector<int32_t> encode(std::string_view, Special) const override { return {}; }
  std::vector<Piece> encode_with_spans(std::string_view, Special) const override { return {}; }
  std::string token_bytes(int32_t id) const override { return tokens_[static_cast<size_t>(id)]; }
  std::optional<int32_t> find_special(std::string_view) const override { return {}; }
  std::optional<int32_t> end_of_text() const override { return {}; }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  std::string description() const override { return "a few tokens"; }

 private:
  std::vector<std::string> tokens_;
};

TEST(Spans, WordsBeginAtBlanksAndSigns) {
  const FewTokens tokenizer(
      {"He", "ath", "row", " is", ",", " don", "'t", "\n", "\xc3", "\xa9t\xc3\xa9", "-", "3"});
  const std::vector<int32_t> text = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  EXPECT_EQ(word_begins(&tokenizer, text), (std::vector<int64_t>{0, 3, 4, 5, 7, 8, 10, 11}));
  EXPECT_EQ(word_begins(nullptr, std::vector<int32_t>{5, 6, 7}), (std::vector<int64_t>{0, 1, 2}));
}

/// Prediction of a target after a text by a plain pass.
struct Plain {
  double logit, log_prob, rank;
  std::vector<float> hidden;
};

Plain plain_pass(const Model& model, const std::vector<int32_t>& ids, int32_t target) {
  const auto run =
      model.forward(ids, Hooks().capture("ln_final.hook_normalized", {.positions = {-1}}),
                    {.logits = LogitRows::kLast});
  const std::span<const float> logits = run.logits().f32();
  const float own = logits[static_cast<size_t>(target)];
  double total = 0;
  for (const float x : logits) total += std::exp(static_cast<double>(x));
  const auto above = std::count_if(logits.begin(), logits.end(), [&](float x) { return x > own; });
  return {own, own - std::log(total), 1.0 + static_cast<double>(above),
          run["ln_final.hook_normalized"].to_f32()};
}

double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double distance = 0, length = 0;
  for (size_t i = 0; i < a.size(); ++i)
    distance += std::pow(b[i] - a[i], 2), length += std::pow(a[i], 2);
  return std::sqrt(distance / length);
}

/// A text with these tokens replaced by token 11, or left out.
std::vector<int32_t> masked(std::vector<int32_t> ids, const std::vector<int64_t>& positions,
                            bool leave_out) {
  for (size_t i = positions.size(); i-- > 0;) {
    if (leave_out) {
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(positions[i]));
    } else {
      ids[static_cast<size_t>(positions[i])] = 11;
    }
  }
  return ids;
}

TEST(Spans, EffectsAreMeansOverTheDraws) {
  const Model model = small_model();
  const auto ids = some_ids(11);
  const Plain whole = plain_pass(model, ids, 20);
  std::vector<int64_t> words(11);
  std::iota(words.begin(), words.end(), 0);
  for (const bool leave_out : {false, true}) {
    SaliencyOptions options = occlusion(
        {.kind = leave_out ? Replacement::Kind::kDelete : Replacement::Kind::kToken, .token = 11});
    options.method = SaliencyMethod::kSpanOcclusion;
    options.spans = {.draws = 9, .budget = 0.3, .seed = 4};
    const Saliency found = saliency(model, ids, options);
    const SpanComparison& comparison = *found.steps[0].comparison;
    EXPECT_EQ(comparison.masked_tokens, 3);
    for (const bool scattered : {false, true}) {
      SCOPED_TRACE(std::string(leave_out ? "left out, " : "replaced, ") +
                   (scattered ? "scattered" : "spans"));
      std::vector<double> effects, scores(11, 0.0), draws(11, 0.0);
      double log_prob = 0, rank = 0, hidden = 0;
      for (int draw = 0; draw < 9; ++draw) {
        const MaskDraw masks = draw_masks(options.spans, words, 11, draw);
        const std::vector<int64_t>& positions = scattered ? masks.scattered : masks.spans;
        const Plain part = plain_pass(model, masked(ids, positions, leave_out), 20);
        effects.push_back(whole.logit - part.logit);
        log_prob += (part.log_prob - whole.log_prob) / 9, rank += part.rank / 9,
            hidden += relative_distance(whole.hidden, part.hidden) / 9;
        for (const int64_t i : positions)
          scores[static_cast<size_t>(i)] += effects.back(), draws[static_cast<size_t>(i)] += 1;
      }
      const double mean = std::accumulate(effects.begin(), effects.end(), 0.0) / 9;
      double variance = 0;
      for (const double effect : effects) variance += (effect - mean) * (effect - mean) / 8;
      const MaskingEffect& effect = scattered ? comparison.scattered : comparison.spans;
      EXPECT_NEAR(effect.value, mean, kRounding);
      EXPECT_NEAR(effect.standard_error, std::sqrt(variance / 9), kRounding);
      EXPECT_NEAR(effect.log_prob, log_prob, kRounding);
      EXPECT_NEAR(effect.rank, rank, 1e-12);
      EXPECT_NEAR(effect.hidden, hidden, kRounding);
      for (size_t i = 0; i < 11; ++i) {
        EXPECT_EQ((scattered ? comparison.scattered_draws : comparison.span_draws)[i], draws[i]);
        EXPECT_NEAR((scattered ? comparison.scattered_scores : found.scores)[i],
                    draws[i] > 0 ? scores[i] / draws[i] : 0, kRounding);
      }
    }
  }
}

TEST(Spans, MaskingByTheTokensThemselvesMovesNothing) {
  const Model model = small_model();
  const auto ids = some_ids(8);
  SaliencyOptions options =
      occlusion({.kind = Replacement::Kind::kTensor, .tensor = model.embed(ids)});
  options.method = SaliencyMethod::kSpanOcclusion;
  const Saliency found = saliency(model, ids, options);
  for (const MaskingEffect& effect :
       {found.steps[0].comparison->spans, found.steps[0].comparison->scattered}) {
    EXPECT_EQ(effect.value, 0);
    EXPECT_EQ(effect.log_prob, 0);
    EXPECT_EQ(effect.hidden, 0);
    EXPECT_EQ(effect.rank, found.steps[0].rank);
  }
}

TEST(Spans, RefusesWhatCannotBe) {
  const Model model = small_model();
  const auto refused = [&](SpanOptions spans) {
    return user_error_of([&] {
      saliency(model, some_ids(5), {.method = SaliencyMethod::kSpanOcclusion, .spans = spans});
    });
  };
  EXPECT_EQ(refused({.draws = 0}), "invalid number of span occlusion draws 0: expected 1..1000000");
  EXPECT_EQ(refused({.budget = 0}),
            "masking budget 0 is out of range: expected > 0 and <= 1, such as 0.15");
  EXPECT_EQ(refused({.budget = 1.5}),
            "masking budget 1.5 is out of range: expected > 0 and <= 1, such as 0.15");
  EXPECT_EQ(refused({.p = 1}),
            "span length parameter p = 1 is out of range: expected > 0 and < 1, such as 0.2");
  EXPECT_EQ(refused({.longest = 0}), "maximum span of 0 words is out of range: expected 1 or more");
}

}  // namespace
}  // namespace vitrine::testing
