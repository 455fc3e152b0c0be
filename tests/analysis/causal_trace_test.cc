// SPDX-License-Identifier: MIT
#include "vitrine/analysis/causal_trace.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support.h"
#include "tests/run_values.h"

namespace vitrine::testing {
using namespace internal;
namespace {

const PatchMetric kTraceMetric{.kind = PatchMetric::Kind::kProb, .answer = 5};

TEST(CausalTrace, SameSeedSameNumbers) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  TraceOptions options{.metric = kTraceMetric, .subject = {1, 2}, .draws = 3, .seed = 4};
  const Trace first = causal_trace(model, ids, options), again = causal_trace(model, ids, options);
  EXPECT_EQ(first.grids[0].values, again.grids[0].values);
  options.seed = 5;
  EXPECT_NE(causal_trace(model, ids, options).corrupt, first.corrupt);
  options.seed = 4;
  options.draws = 2;
  const Trace fewer = causal_trace(model, ids, options);
  EXPECT_EQ(fewer.draws, std::vector<double>(first.draws.begin(), first.draws.begin() + 2))
      << "a draw depends on its number alone";
  options.draws = 3;
  options.batch_tokens = 5;
  EXPECT_EQ(causal_trace(model, ids, options).grids[0].values, first.grids[0].values);
}

TEST(CausalTrace, RestoringEverythingIsTheCleanRun) {
  const Model model = small_model();
  const Trace found =
      causal_trace(model, some_ids(7),
                   {.metric = kTraceMetric,
                    .subject = {1, 2},
                    .draws = 2,
                    .cells = {.sites = {Site::kResidPre}, .over = PatchOver::kWhole}});
  for (const double value : found.grids[0].values)
    EXPECT_NEAR(value, found.clean, 1e-15) << "a mean of two equal numbers";
  EXPECT_NE(found.corrupt, found.clean);
  for (const double effect : found.grids[0].effects)
    EXPECT_NEAR(effect, found.clean - found.corrupt, 1e-15);
}

TEST(CausalTrace, EditsHoldInEveryRun) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  TraceOptions options{.metric = kTraceMetric,
                       .subject = {1, 2},
                       .draws = 2,
                       .cells = {.sites = {Site::kResidPre}, .over = PatchOver::kWhole}};
  options.edits.edit(Site::kResidPre, scale(0.5f), {.layers = {1}, .positions = {1, -1}})
      .edit(Site::kZ, zero(), {.layers = {2}, .heads = {0}});
  const Trace found = causal_trace(model, ids, options);
  const auto run = model.forward(ids, options.edits, {.logits = LogitRows::kLast});
  EXPECT_EQ(found.clean, kTraceMetric.of(run.logits().f32()));
  for (const double value : found.grids[0].values) EXPECT_NEAR(value, found.clean, 1e-15);
  EXPECT_NE(found.corrupt, found.clean);
}

TEST(CausalTrace, BeforeTheSubjectNothingIsRestored) {
  const Model model = small_model();
  const Trace found =
      causal_trace(model, some_ids(7), {.metric = kTraceMetric, .subject = {-4}, .draws = 1});
  for (size_t layer = 0; layer < 3; ++layer) {
    for (size_t position = 0; position < 3; ++position)
      EXPECT_EQ(found.grids[0].effects[found.grids[0].cell(layer, position)], 0.0);
  }
  EXPECT_NE(found.grids[0].effects[found.grids[0].cell(0, 3)], 0.0);
}

TEST(CausalTrace, NoiseIsAsLargeAsAsked) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const auto embeddings =
      testing_support::site_of(model.forward(ids, Hooks().capture("hook_embed")), "hook_embed")
          .view()
          .to_f32();
  double sum = 0, squares = 0;
  for (const float x : embeddings) {
    sum += static_cast<double>(x);
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  const auto n = static_cast<double>(embeddings.size());
  TraceOptions options{.metric = kTraceMetric, .subject = {1}, .draws = 1, .noise = 2.5};
  EXPECT_NEAR(causal_trace(model, ids, options).deviation,
              2.5 * std::sqrt(squares / n - sum * sum / n / n), 1e-9);
  options.spread = 0.5;
  EXPECT_EQ(causal_trace(model, ids, options).deviation, 1.25);
  options.noise = 0;
  const Trace none = causal_trace(model, ids, options);
  EXPECT_EQ(none.corrupt, none.clean);
}

TEST(CausalTrace, RefusesWhatMakesNoSense) {
  const Model model = small_model();
  const auto refuse = [&](TraceOptions options) {
    options.metric = kTraceMetric;
    return user_error_of([&] { causal_trace(model, some_ids(6), options); });
  };
  EXPECT_EQ(refuse({}), "the subject is empty: expected at least one position");
  EXPECT_EQ(refuse({.subject = {6}}),
            "subject position 6 is out of range: expected 0..5, the positions up to where the "
            "metric is read");
  EXPECT_EQ(refuse({.subject = {1}, .draws = 0}),
            "invalid number of noise draws 0: expected 1..1000000");
  EXPECT_EQ(refuse({.subject = {1}, .noise = -1}),
            "noise of -1 standard deviations is out of range: expected 0 or more");
  EXPECT_EQ(refuse({.subject = {1}, .spread = std::nan("")}),
            "spread nan is out of range: expected 0 or more");
}

}  // namespace
}  // namespace vitrine::testing
