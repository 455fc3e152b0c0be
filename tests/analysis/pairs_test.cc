// SPDX-License-Identifier: MIT
// Statistics over pairs against single-pair runs.
#include "vitrine/analysis/pairs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// Pairs of `tokens` tokens that differ in the middle, each with its own answers.
std::vector<PatchPair> some_pairs(size_t count, size_t tokens = 6) {
  std::vector<PatchPair> pairs;
  for (size_t i = 0; i < count; ++i) {
    PatchPair pair{.clean = some_ids(tokens, 11 + i)};
    pair.corrupt = pair.clean;
    pair.corrupt[2] = (pair.corrupt[2] + 7) % 61;
    const auto id = static_cast<int32_t>(i);
    pair.answer = {5 + id, 20 + id};
    pair.wrong = 40 + id;
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

struct Expected {
  double mean = 0, deviation = 0, standard_error = 0;
};
/// By the formulas, in two passes.
Expected of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Expected found;
  for (const double x : values) found.mean += x / n;
  for (const double x : values) found.deviation += (x - found.mean) * (x - found.mean);
  found.deviation = std::sqrt(found.deviation / (n - 1));
  found.standard_error = found.deviation / std::sqrt(n);
  return found;
}

template <typename Found, typename Number>
void expect_number(const OverPairs<Found>& over, const std::vector<Found>& each, Number number) {
  std::vector<double> values;
  for (const Found& found : each) values.push_back(number(found));
  const Expected wanted = of(values);
  const double tolerance = 1e-10 * (1 + std::abs(wanted.mean) + wanted.deviation);
  EXPECT_NEAR(number(over.mean), wanted.mean, tolerance);
  EXPECT_NEAR(number(over.deviation), wanted.deviation, tolerance);
  EXPECT_NEAR(number(over.standard_error), wanted.standard_error, tolerance);
}

PatchOptions options_of(const PatchPair& pair, PatchOptions options) {
  options.metric = {.kind = options.metric.kind, .answer = pair.answer, .wrong = pair.wrong};
  return options;
}

struct Counts : Progress {
  uint64_t done = 0, total = 0;
  void update(uint64_t now, uint64_t of_all, std::string_view) override {
    EXPECT_GE(now, done);
    done = now;
    total = of_all;
  }
};

TEST(Pairs, StatisticsAreThoseOfSinglePairs) {
  const Model model = small_model();
  const std::vector<PatchPair> pairs = some_pairs(5);
  PatchOptions options{.cells = {.sites = {Site::kResidPre, Site::kAttnOut}}, .attribution = true};
  options.edits.edit(Site::kMlpOut, scale(0.5f), {.layers = {0}});
  Counts counts;
  options.progress = &counts;
  const OverPairs<Patching> over = patch_pairs(model, pairs, options);
  EXPECT_EQ(counts.done, 5u);
  EXPECT_EQ(counts.total, 5u);
  options.progress = nullptr;
  std::vector<Patching> each;
  int64_t cells = 0;
  for (const PatchPair& pair : pairs) {
    each.push_back(patch(model, pair.clean, pair.corrupt, options_of(pair, options)));
    cells += each.back().work.cells;
  }
  EXPECT_EQ(over.pairs, 5);
  EXPECT_EQ(over.mean.work.cells, cells);
  EXPECT_GT(over.deviation.clean, 0);
  EXPECT_GT(over.deviation.grids[1].effects[17], 0);
  expect_number(over, each, [](const Patching& found) { return found.clean; });
  expect_number(over, each, [](const Patching& found) { return found.corrupt; });
  for (size_t g = 0; g < 2; ++g) {
    EXPECT_EQ(over.mean.grids[g].columns, each[0].grids[g].columns);
    for (const size_t cell : {size_t{2}, size_t{9}, size_t{17}}) {
      for (const auto member : {&PatchGrid::values, &PatchGrid::effects, &PatchGrid::estimates}) {
        if (g == 1 && cell == 2) continue;  // patches a position that is the same in both
        expect_number(over, each,
                      [&](const Patching& found) { return (found.grids[g].*member)[cell]; });
      }
    }
  }
}

TEST(Pairs, OfPaths) {
  const Model model = small_model();
  const std::vector<PatchPair> pairs = some_pairs(3);
  const PathOptions options{.receivers = {{PathNode::Kind::kMlp, 2, 0}}};
  const OverPairs<PathPatching> over = path_patch_pairs(model, pairs, options);
  std::vector<PathPatching> each;
  for (const PatchPair& pair : pairs) {
    PathOptions own = options;
    own.metric = {.answer = pair.answer, .wrong = pair.wrong};
    each.push_back(path_patch(model, pair.clean, pair.corrupt, own));
  }
  EXPECT_EQ(over.mean.senders, each[0].senders);
  EXPECT_GT(over.deviation.effects[5], 0);
  for (const size_t sender : {size_t{0}, size_t{2}, size_t{5}})
    expect_number(over, each, [&](const PathPatching& found) { return found.effects[sender]; });
}

TEST(Pairs, OfAttributions) {
  const Model model = small_model();
  const std::vector<PatchPair> pairs = some_pairs(4);
  const AttributedPairs over = attribute_pairs(model, pairs);
  std::vector<LogitAttribution> clean, corrupt;
  for (const PatchPair& pair : pairs) {
    const AttributionOptions options{.target = pair.answer, .against = pair.wrong};
    clean.push_back(logit_attribution(model, pair.clean, options));
    corrupt.push_back(logit_attribution(model, pair.corrupt, options));
  }
  expect_number(over.clean, clean, [](const LogitAttribution& found) { return found.logit; });
  expect_number(over.clean, clean, [](const LogitAttribution& found) { return found.embedding; });
  ASSERT_TRUE(over.difference.has_value());
  for (size_t head = 0; head < 6; ++head) {
    expect_number(over.clean, clean,
                  [&](const LogitAttribution& found) { return found.head[head]; });
    std::vector<double> differences;
    for (size_t i = 0; i < 4; ++i)
      differences.push_back(clean[i].head[head] - corrupt[i].head[head]);
    const Expected wanted = of(differences);
    EXPECT_NEAR(over.difference->mean.head[head], wanted.mean, 1e-10);
    EXPECT_NEAR(over.difference->standard_error.head[head], wanted.standard_error, 1e-10);
  }
  EXPECT_NEAR(over.clean.mean.gap(), 0, 2e-5);
}

TEST(Pairs, OnePairHasNoSpread) {
  const Model model = small_model();
  const auto pairs = some_pairs(1);
  const OverPairs<Patching> over = patch_pairs(model, pairs, {});
  const Patching one = patch(model, pairs[0].clean, pairs[0].corrupt, options_of(pairs[0], {}));
  EXPECT_EQ(over.mean.grids[0].effects, one.grids[0].effects);
  EXPECT_TRUE(std::isnan(over.deviation.clean));
  EXPECT_TRUE(std::isnan(over.standard_error.grids[0].effects[0]));
}

TEST(Pairs, TheAnswerIsTheModelsByDefault) {
  const Model model = small_model();
  auto pairs = some_pairs(2);
  for (PatchPair& pair : pairs) {
    const vitrine::Run run = model.forward(pair.clean, {}, {.logits = LogitRows::kLast});
    const auto logits = run.logits().f32();
    pair.answer =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  const OverPairs<Patching> wanted = patch_pairs(model, pairs, {});
  for (PatchPair& pair : pairs) pair.answer = {};
  const OverPairs<Patching> found = patch_pairs(model, pairs, {});
  EXPECT_EQ(found.mean.grids[0].values, wanted.mean.grids[0].values);
}

TEST(Pairs, ErrorsNameThePair) {
  const Model model = small_model();
  const auto refused = [&](const std::vector<PatchPair>& pairs, PatchOptions options = {}) {
    return user_error_of([&] { patch_pairs(model, pairs, options); });
  };
  EXPECT_EQ(refused({}), "missing pairs of prompts: expected at least one");
  auto pairs = some_pairs(3);
  pairs[1].corrupt.pop_back();
  pairs[1].name = "pairs.jsonl:2";
  EXPECT_EQ(refused(pairs),
            "pairs.jsonl:2: the clean prompt has 6 tokens, the corrupt one 5: expected the same "
            "length; or use an alignment of their positions");
  EXPECT_EQ(refused(pairs, {.alignment = {{0, 0}, {5, 4}, {1, 5}}}),
            "pairs.jsonl:2: the alignment's position 5 of the corrupt prompt is out of range: "
            "expected 0..4");
  pairs = some_pairs(3);
  pairs[2] = some_pairs(1, 7)[0];
  EXPECT_EQ(refused(pairs),
            "pair 3: the prompt has 7 tokens, that of the first pair 6: expected the same number, "
            "because columns are positions");
  EXPECT_EQ(
      patch_pairs(model, pairs, {.cells = {.sites = {Site::kZ}, .over = PatchOver::kHeads}}).pairs,
      3);
  pairs = some_pairs(3);
  pairs[1].wrong = {};
  EXPECT_EQ(refused(pairs),
            "pair 2: missing wrong answer: expected one, because the metric is logit-difference");
  EXPECT_EQ(refused(pairs, {.metric = {.kind = PatchMetric::Kind::kLogit}}),
            "pair 1: the metric logit does not use a wrong answer: leave it out, or use "
            "logit-difference");
  pairs = some_pairs(3);
  pairs[2].corrupt = {};
  EXPECT_EQ(user_error_of([&] { attribute_pairs(model, pairs); }),
            "pair 3: corrupt prompt missing: expected one in all pairs or in none");
  EXPECT_EQ(user_error_of([&] { attribute_pairs(model, pairs, {.target = 3}); }),
            "`target`, `against` and `neurons` are of one text: leave them out with pairs");
}

}  // namespace
}  // namespace vitrine::testing
