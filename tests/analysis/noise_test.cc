// SPDX-License-Identifier: MIT
// Noise: what it does to a prompt, and what the model then says and holds.

#include "vitrine/analysis/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "analysis/common/linear_cka.h"
#include "analysis/noise/draws.h"
#include "base/random.h"
#include "support.h"
#include "vitrine/tokenizer.h"

namespace vitrine::testing {
using namespace internal;
namespace {

const std::vector<NoiseKind> kAll = {NoiseKind::kSpans,         NoiseKind::kScattered,
                                     NoiseKind::kTokenMasking,  NoiseKind::kTokenDeletion,
                                     NoiseKind::kTextInfilling, NoiseKind::kSentencePermutation,
                                     NoiseKind::kRotation};
const std::vector<NoiseKind> kMasking = {NoiseKind::kSpans, NoiseKind::kScattered,
                                         NoiseKind::kTokenMasking, NoiseKind::kTokenDeletion,
                                         NoiseKind::kTextInfilling};

std::filesystem::path demo() {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "models" / "demo";
}
bool has_demo() { return std::filesystem::exists(demo() / "model.safetensors"); }

/// On one thread: these runs are too small to be shared out.
Model lone_model() { return Model::random(small_model().config(), 5, {.threads = 1}); }

std::vector<int64_t> survivors(const NoisedPrompt& prompt) {
  std::vector<int64_t> found;
  for (const int64_t source : prompt.sources) {
    if (source >= 0) found.push_back(source);
  }
  return found;
}

TEST(NoiseDraws, SurvivorsAreTheirSourcesAndTheBudgetIsMet) {
  const auto ids = some_ids(40);
  for (const NoiseKind kind : kAll) {
    SCOPED_TRACE(noise_kind_name(kind));
    std::set<std::vector<int32_t>> different;
    for (int repetition = 0; repetition < 60; ++repetition) {
      const NoisedPrompt prompt = noised_prompt(nullptr, ids, kind, repetition, {});
      ASSERT_EQ(prompt.ids.size(), prompt.sources.size());
      for (size_t i = 0; i < prompt.ids.size(); ++i)
        EXPECT_EQ(prompt.ids[i],
                  prompt.sources[i] < 0 ? -1 : ids[static_cast<size_t>(prompt.sources[i])]);
      std::vector<int64_t> kept = survivors(prompt);
      const bool reorders = kind == NoiseKind::kRotation || kind == NoiseKind::kSentencePermutation;
      // round(0.15 x 40); a token is a word here, so that spans can use all of it
      EXPECT_EQ(kept.size(), reorders ? 40u : 34u);
      EXPECT_TRUE(reorders || std::is_sorted(kept.begin(), kept.end()));
      EXPECT_EQ(std::set<int64_t>(kept.begin(), kept.end()).size(), kept.size()) << "none twice";
      if (kind == NoiseKind::kSpans || kind == NoiseKind::kScattered ||
          kind == NoiseKind::kTokenMasking) {
        EXPECT_EQ(prompt.ids.size(), 40u);
        for (size_t i = 0; i < 40; ++i)
          EXPECT_TRUE(prompt.sources[i] < 0 || prompt.sources[i] == static_cast<int64_t>(i));
      }
      EXPECT_EQ(prompt.ids.size() == 34u, kind == NoiseKind::kTokenDeletion);
      different.insert(prompt.ids);
      EXPECT_EQ(prompt.ids, noised_prompt(nullptr, ids, kind, repetition, {}).ids);
    }
    if (kind == NoiseKind::kSentencePermutation) {
      EXPECT_EQ(different.size(), 1u) << "one sentence";
    } else {
      EXPECT_GT(different.size(), 25u);
      EXPECT_NE(noised_prompt(nullptr, ids, kind, 3, {}).sources,
                noised_prompt(nullptr, ids, kind, 3, {.seed = 9}).sources);
    }
  }
}

TEST(NoiseDraws, WithoutABudgetNothingIsMasked) {
  const auto ids = some_ids(20);
  for (const NoiseKind kind : kMasking)
    EXPECT_EQ(noised_prompt(nullptr, ids, kind, 1, {.budget = 0}).ids, ids)
        << noise_kind_name(kind);
}

TEST(NoiseDraws, SpansAreContiguousAsLongAsSpanBertsAndScatteredTokensAreNot) {
  // 300 words in which a budget of 0.15 has room for some 12 spans: lengths are the distribution's
  // but for the last, which is cut. With p = 0.2 up to 10 the mean is 3.80.
  const auto ids = some_ids(300);
  double runs[2] = {0, 0}, masked[2] = {0, 0};
  for (int repetition = 0; repetition < 100; ++repetition) {
    for (const int which : {0, 1}) {
      const NoisedPrompt prompt = noised_prompt(
          nullptr, ids, which == 0 ? NoiseKind::kSpans : NoiseKind::kScattered, repetition, {});
      for (size_t i = 0; i < 300; ++i) {
        masked[which] += prompt.sources[i] < 0;
        runs[which] += prompt.sources[i] < 0 && (i == 0 || prompt.sources[i - 1] >= 0);
      }
    }
  }
  EXPECT_EQ(masked[0], 4500);
  EXPECT_EQ(masked[1], 4500);
  // Neighbouring spans count as one, and the last is cut: between 3.4 and 4.6. Scattered: 1 / (1 -
  // 0.15).
  EXPECT_NEAR(masked[0] / runs[0], 4.0, 0.6);
  EXPECT_NEAR(masked[1] / runs[1], 1 / 0.85, 0.05);
}

TEST(NoiseDraws, PoissonLengthsInvertTheDistribution) {
  // e^-3 = 0.0498, (1 + 3) e^-3 = 0.1991, (1 + 3 + 4.5) e^-3 = 0.4232
  EXPECT_EQ(poisson_length(3, 0.0497), 0);
  EXPECT_EQ(poisson_length(3, 0.0499), 1);
  EXPECT_EQ(poisson_length(3, 0.199), 1);
  EXPECT_EQ(poisson_length(3, 0.423), 2);
  EXPECT_EQ(poisson_length(3, 0.424), 3);
  for (const double mean : {0.5, 3.0, 100.0}) {
    double sum = 0, squares = 0;
    constexpr int kPoints = 20000;
    for (int i = 0; i < kPoints; ++i) {
      const auto length = static_cast<double>(poisson_length(mean, (i + 0.5) / kPoints));
      sum += length / kPoints;
      squares += length * length / kPoints;
    }
    EXPECT_NEAR(sum, mean,
                2e-3 * mean);  // the midpoint rule over 20000 steps cuts the tail at 2.5e-5
    EXPECT_NEAR(squares - sum * sum, mean, 5e-3 * mean);
  }
}

TEST(NoiseDraws, InfillingPutsOneMaskForEachSpanAndInsertsForLengthZero) {
  const auto ids = some_ids(400);
  std::map<int64_t, int> lengths;
  int spans = 0;
  for (int repetition = 0; repetition < 100; ++repetition) {
    const NoisedPrompt prompt =
        noised_prompt(nullptr, ids, NoiseKind::kTextInfilling, repetition, {.budget = 0.3});
    EXPECT_EQ(survivors(prompt).size(), 280u);
    for (size_t i = 0; i < prompt.sources.size(); ++i) {
      if (prompt.sources[i] >= 0) continue;
      const int64_t before = i == 0 ? -1 : prompt.sources[i - 1],
                    after = i + 1 < prompt.sources.size() ? prompt.sources[i + 1] : 400;
      ASSERT_TRUE((i == 0 || before >= 0) && after >= 0) << "a token stands between two spans";
      ++lengths[after - before - 1];
      ++spans;
    }
  }
  // Some 4000 spans with a mean of 3 (standard error 1.73 / 63 = 0.027), the last of each
  // repetition cut, by 1.5 of some 40 x 3 on average.
  EXPECT_NEAR(30.0 * 400 / spans, 3, 0.12);
  EXPECT_NEAR(static_cast<double>(lengths[0]) / spans, std::exp(-3.0), 0.015);
  EXPECT_NEAR(static_cast<double>(lengths[3]) / spans, 4.5 * std::exp(-3.0), 0.03);
  const NoisedPrompt all =
      noised_prompt(nullptr, some_ids(10), NoiseKind::kTextInfilling, 0, {.budget = 1});
  EXPECT_TRUE(survivors(all).empty());
  EXPECT_GE(all.ids.size(), 1u);
}

TEST(NoiseDraws, MasksAreWhatWasChosen) {
  const auto ids = some_ids(40);
  for (const NoiseKind kind : kMasking) {
    const NoisedPrompt deleted =
        noised_prompt(nullptr, ids, kind, 2, {.mask = {.kind = Replacement::Kind::kDelete}});
    EXPECT_EQ(deleted.ids.size(), 34u) << noise_kind_name(kind);
    const NoisedPrompt token = noised_prompt(
        nullptr, ids, kind, 2, {.mask = {.kind = Replacement::Kind::kToken, .token = 60}});
    EXPECT_EQ(survivors(token), survivors(deleted)) << "the mask does not change the draw";
    for (size_t i = 0; i < token.ids.size(); ++i) {
      EXPECT_EQ(token.ids[i],
                token.sources[i] < 0 ? 60 : ids[static_cast<size_t>(token.sources[i])]);
    }
  }
}

TEST(NoiseDraws, RotationBeginsAnywhere) {
  const auto ids = some_ids(5);
  std::set<int64_t> firsts;
  for (int repetition = 0; repetition < 60; ++repetition) {
    const NoisedPrompt prompt = noised_prompt(nullptr, ids, NoiseKind::kRotation, repetition, {});
    for (size_t i = 0; i < 5; ++i)
      EXPECT_EQ(prompt.sources[i], (prompt.sources[0] + static_cast<int64_t>(i)) % 5);
    firsts.insert(prompt.sources[0]);
  }
  EXPECT_EQ(firsts.size(), 5u);
}

TEST(NoiseDraws, SentencesArePermutedWhole) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const auto tokenizer = Tokenizer::load(demo() / "tokenizer.json");
  const std::string text = "The cat slept. Is it 3.14 o'clock? \"No!\" It was late. The end";
  const auto ids = tokenizer->encode(text);
  const auto begins = sentence_begins(tokenizer.get(), ids);
  std::vector<std::string> sentences;
  for (size_t s = 0; s < begins.size(); ++s) {
    const auto end = s + 1 < begins.size() ? begins[s + 1] : static_cast<int64_t>(ids.size());
    sentences.push_back(tokenizer->decode(std::span(ids).subspan(
        static_cast<size_t>(begins[s]), static_cast<size_t>(end - begins[s]))));
  }
  EXPECT_EQ(sentences, (std::vector<std::string>{"The cat slept.", " Is it 3.14 o'clock?",
                                                 " \"No!\"", " It was late.", " The end"}));
  std::set<std::string> orders;
  for (int repetition = 0; repetition < 60; ++repetition) {
    const NoisedPrompt prompt =
        noised_prompt(tokenizer.get(), ids, NoiseKind::kSentencePermutation, repetition, {});
    const std::string shuffled = tokenizer->decode(prompt.ids);
    EXPECT_EQ(shuffled.size(), text.size());
    for (const std::string& sentence : sentences)
      EXPECT_NE(shuffled.find(sentence), std::string::npos) << shuffled;
    orders.insert(shuffled);
  }
  EXPECT_GT(orders.size(), 25u) << "of 120";
}

TEST(Noise, LinearCkaIsThePublishedFormula) {
  // |Y^T X|^2 / (|X^T X| |Y^T Y|) with plain loops over columns, more and fewer rows than columns.
  for (const size_t rows : {3u, 9u}) {
    const size_t width = 5;
    std::vector<float> x(rows * width), y(rows * width);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(standard_normal(1, i)),
      y[i] = static_cast<float>(standard_normal(2, i)) + 0.5f * x[i];
    const auto product = [&](const std::vector<float>& a, const std::vector<float>& b) {
      double sum = 0;
      for (size_t i = 0; i < width; ++i) {
        for (size_t j = 0; j < width; ++j) {
          double ma = 0, mb = 0, c = 0;
          for (size_t r = 0; r < rows; ++r)
            ma += a[r * width + i] / static_cast<double>(rows),
                mb += b[r * width + j] / static_cast<double>(rows);
          for (size_t r = 0; r < rows; ++r) c += (a[r * width + i] - ma) * (b[r * width + j] - mb);
          sum += c * c;
        }
      }
      return sum;
    };
    const double wanted = product(x, y) / std::sqrt(product(x, x) * product(y, y));
    EXPECT_NEAR(linear_cka(x, y, static_cast<int64_t>(rows), 5), wanted, 1e-12);
    EXPECT_NEAR(linear_cka(x, x, static_cast<int64_t>(rows), 5), 1, 1e-12);
  }
  EXPECT_TRUE(std::isnan(linear_cka({}, {}, 0, 5)));
}

/// Logits after the last token of an input, some of whose embeddings are replaced, and the residual
/// stream: one pass for one input.
struct OnePass {
  OnePass(const Model& model, const NoisedPrompt& prompt, const std::vector<int32_t>& continuation,
          const std::vector<float>& mask) {
    std::vector<int32_t> ids = prompt.ids;
    Hooks hooks;
    hooks.capture("blocks.0.hook_resid_pre").capture("blocks.*.hook_resid_post");
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= 0) continue;
      ids[i] = 7;
      hooks.edit("hook_embed", replace(Tensor::from(mask)),
                 {.positions = {static_cast<int64_t>(i)}});
    }
    ids.insert(ids.end(), continuation.begin(), continuation.end());
    run = model.forward(ids, hooks);
    for (size_t c = 0; c < continuation.size(); ++c) {
      const auto logits = run.logits().slice(static_cast<int64_t>(prompt.ids.size() + c) - 1).f32();
      const float own = logits[static_cast<size_t>(continuation[c])];
      double sum = 0;
      for (const float x : logits) sum += std::exp(static_cast<double>(x));
      log_prob += own - std::log(sum);
      rank += (1.0 + static_cast<double>(std::count_if(logits.begin(), logits.end(),
                                                       [&](float x) { return x > own; }))) /
              static_cast<double>(continuation.size());
    }
  }
  std::span<const float> row(size_t layer, int64_t position) const {
    return run[layer == 0 ? "blocks.0.hook_resid_pre"
                          : "blocks." + std::to_string(layer - 1) + ".hook_resid_post"]
        .slice(position)
        .f32();
  }
  Run run;
  double log_prob = 0, rank = 0;
};

TEST(Noise, NumbersAreThoseOfSinglePasses) {
  const Model model = lone_model();
  const auto prompt = some_ids(8);
  NoiseOptions options{.repetitions = 3, .budget = 0.4, .poisson = 2};
  options.continuation = {17, 3};
  std::vector<double> sums(24, 0.0);
  std::vector<int32_t> vocabulary(61);
  std::iota(vocabulary.begin(), vocabulary.end(), 0);
  const Tensor table = model.embed(vocabulary);
  for (size_t i = 0; i < 61 * 24; ++i) sums[i % 24] += static_cast<double>(table.f32()[i]) / 61;
  const std::vector<float> mean(sums.begin(), sums.end());
  const Noise found = noise(model, prompt, options);
  ASSERT_EQ(found.effects.size(), 7u);
  NoisedPrompt whole{.ids = prompt, .sources = {0, 1, 2, 3, 4, 5, 6, 7}};
  const OnePass clean(model, whole, options.continuation, mean);
  EXPECT_NEAR(found.log_prob, clean.log_prob, 1e-5) << "float32 logits";
  EXPECT_EQ(found.rank, clean.rank);
  for (size_t kind = 0; kind < 7; ++kind) {
    const NoiseEffect& effect = found.effects[kind];
    SCOPED_TRACE(noise_kind_name(effect.kind));
    double change = 0;
    for (size_t r = 0; r < 3; ++r) {
      const NoisedPrompt& noised = effect.prompts[r];
      EXPECT_EQ(noised.ids,
                noised_prompt(nullptr, prompt, effect.kind, static_cast<int>(r), options).ids);
      EXPECT_EQ(effect.masked[r], static_cast<int32_t>(8 - survivors(noised).size()));
      const OnePass pass(model, noised, options.continuation, mean);
      EXPECT_NEAR(effect.log_probs[r], pass.log_prob, 1e-5);
      EXPECT_EQ(effect.ranks[r], pass.rank);
      change += (pass.log_prob - clean.log_prob) / 3;
      for (size_t layer = 0; layer < 4; ++layer) {
        const auto a = pass.row(layer, static_cast<int64_t>(noised.ids.size()) - 1),
                   b = clean.row(layer, 7);
        double ab = 0, aa = 0, bb = 0;
        for (size_t d = 0; d < 24; ++d) ab += a[d] * b[d], aa += a[d] * a[d], bb += b[d] * b[d];
        EXPECT_NEAR(effect.cosines[r * 4 + layer], ab / std::sqrt(aa * bb), 1e-5);
        std::vector<float> x, y;
        for (size_t i = 0; i < noised.ids.size(); ++i) {
          if (noised.sources[i] < 0) continue;
          const auto xs = pass.row(layer, static_cast<int64_t>(i)),
                     ys = clean.row(layer, noised.sources[i]);
          x.insert(x.end(), xs.begin(), xs.end());
          y.insert(y.end(), ys.begin(), ys.end());
        }
        EXPECT_NEAR(effect.ckas[r * 4 + layer],
                    linear_cka(x, y, static_cast<int64_t>(x.size() / 24), 24), 1e-5);
      }
    }
    EXPECT_NEAR(effect.log_prob_change.mean, change, 2e-5);
    EXPECT_DOUBLE_EQ(effect.cosine[2].mean,
                     (effect.cosines[2] + effect.cosines[6] + effect.cosines[10]) / 3);
    EXPECT_DOUBLE_EQ(effect.cka[1].mean, (effect.ckas[1] + effect.ckas[5] + effect.ckas[9]) / 3);
  }
  std::vector<double> difference(3);
  for (size_t r = 0; r < 3; ++r)
    difference[r] = found.effects[0].log_probs[r] - found.effects[1].log_probs[r];
  EXPECT_DOUBLE_EQ(found.spans_less_scattered->mean, estimate(difference).mean);
}

TEST(Noise, DoesNotDependOnTheBatchOrTheOtherKinds) {
  const Model model = lone_model();
  const auto prompt = some_ids(8);
  NoiseOptions options{.repetitions = 4, .budget = 0.3, .poisson = 1};
  const Noise all = noise(model, prompt, options);
  options.batch_tokens = 1;
  options.kinds = {NoiseKind::kTextInfilling, NoiseKind::kScattered, NoiseKind::kTextInfilling};
  const Noise some = noise(model, prompt, options);
  ASSERT_EQ(some.effects.size(), 2u);
  EXPECT_EQ(some.effects[0].log_probs, all.effects[4].log_probs);
  EXPECT_EQ(some.effects[1].ckas, all.effects[1].ckas);
  EXPECT_FALSE(some.spans_less_scattered.has_value());
  EXPECT_TRUE(all.own_choice);
  EXPECT_EQ(all.rank, 1);
}

TEST(Noise, WithoutABudgetNothingChanges) {
  const Noise found =
      noise(lone_model(), some_ids(8), {.kinds = kMasking, .repetitions = 2, .budget = 0});
  for (const NoiseEffect& effect : found.effects) {
    EXPECT_EQ(effect.log_probs, (std::vector<double>(2, found.log_prob))) << "to the bit";
    EXPECT_EQ(effect.log_prob_change.mean, 0);
    for (const double x : effect.cosines) EXPECT_NEAR(x, 1, 1e-12);
    for (const double x : effect.ckas) EXPECT_NEAR(x, 1, 1e-12);
  }
}

TEST(Noise, FindsTheSpanThatMatters) {
  if (!has_demo()) GTEST_SKIP() << "models/demo is not there";
  const Model model = Model::load(demo().string(), {.threads = 1});
  const auto ids = model.tokenizer().encode(
      "Heathrow airport is located in the city of");  // the first three tokens are the name
  NoiseOptions options{.kinds = {NoiseKind::kSpans}, .repetitions = 60, .budget = 0.3, .seed = 1};
  options.continuation.push_back(model.tokenizer().single_token(" London"));
  const Noise found = noise(model, ids, options);
  // Only draws that leave "in the city of" alone: after a masked last token nothing could be known
  // anyway.
  std::vector<double> without_name, without_others;
  for (size_t r = 0; r < 60; ++r) {
    const auto kept = survivors(found.effects[0].prompts[r]);
    EXPECT_TRUE(kept[0] == 0 || kept[0] >= 3) << "a word is masked whole";
    if (!std::ranges::includes(kept, std::vector<int64_t>{6, 7, 8, 9})) continue;
    (kept[0] == 0 ? without_others : without_name)
        .push_back(found.effects[0].log_probs[r] - found.log_prob);
  }
  ASSERT_GT(without_name.size(), 2u);
  ASSERT_GT(without_others.size(), 2u);
  EXPECT_LT(estimate(without_name).mean, estimate(without_others).mean - 1)
      << "the name is what says London";
}

TEST(Noise, EstimatesAreMeansWithTheirStandardErrors) {
  const Estimate found = estimate(std::vector<double>{1, 2, NAN, 6});
  EXPECT_DOUBLE_EQ(found.mean, 3);
  EXPECT_DOUBLE_EQ(found.standard_error,
                   std::sqrt(7.0 / 3));  // variance (4 + 1 + 9) / 2 = 7 of 3 numbers
  EXPECT_EQ(estimate(std::vector<double>{4}).standard_error, 0);
  EXPECT_TRUE(std::isnan(estimate(std::vector<double>{NAN}).mean));
}

TEST(Noise, RefusesWhatDoesNotFit) {
  const Model model = lone_model();
  const auto ids = some_ids(8);
  const auto error_of = [&](NoiseOptions options, const std::vector<int32_t>& continuation = {}) {
    options.continuation = continuation;
    return user_error_of([&] { noise(model, ids, options); });
  };
  EXPECT_EQ(error_of({.repetitions = 0}), "invalid number of repetitions 0: expected 1..1000000");
  EXPECT_EQ(error_of({.budget = 1.5}),
            "noise budget 1.5 is out of range: expected 0..1, such as 0.15");
  EXPECT_EQ(error_of({.p = 1}),
            "span length parameter p = 1 is out of range: expected > 0 and < 1, such as 0.2");
  EXPECT_EQ(error_of({.longest = 0}),
            "maximum span of 0 words is out of range: expected 1 or more");
  EXPECT_EQ(error_of({.poisson = 0}),
            "mean length 0 of text infilling is out of range: expected 0.5..100, such as 3");
  EXPECT_EQ(error_of({}, {61}), "the continuation's token 61 is out of range: expected 0..60");
  EXPECT_EQ(error_of({.batch_tokens = 0}), "batch_tokens 0 is out of range: expected at least 1");
  EXPECT_EQ(error_of({.mask = {.kind = Replacement::Kind::kToken, .token = 70}}),
            "the mask token 70 is out of range: expected 0..60");
  EXPECT_EQ(error_of({.kinds = {NoiseKind::kTokenDeletion}, .budget = 1}),
            "token-deletion would remove all 8 tokens of the prompt: use a smaller `budget`");
  EXPECT_EQ(error_of({.kinds = {NoiseKind::kRotation}}, {1, 2, 3, 4, 5, 6}),
            "the prompt and its continuation are 13 tokens: expected at most 12, the model's "
            "context; use a shorter prompt");
  EXPECT_NE(error_of({.kinds = {NoiseKind::kTextInfilling}, .repetitions = 50, .poisson = 0.5},
                     {1, 2, 3, 4, 5})
                .find("the prompt with text-infilling"),
            std::string::npos)
      << "masks that are put in take room";
  NoiseOptions edited;
  edited.edits.edit("hook_embed", zero());
  EXPECT_EQ(error_of(edited),
            "the edit of 'hook_embed' changes hook_embed, which noise varies: edit hook_pos_embed "
            "or blocks.0.hook_resid_pre");
  EXPECT_EQ(user_error_of([&] { noise(model, {}); }),
            "the prompt is empty: expected at least one token");
  EXPECT_EQ(user_error_of([&] { noise_kind_from_name("masking"); }),
            "unknown noise 'masking': expected one of spans, scattered, token-masking, "
            "token-deletion, text-infilling, sentence-permutation, rotation");
}

}  // namespace
}  // namespace vitrine::testing
