// SPDX-License-Identifier: MIT
#include "vitrine/analysis/patching.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "analysis/patching/metric.h"
#include "naive_patching.h"
#include "support.h"
#include "tests/run_values.h"

namespace vitrine::testing {
using namespace internal;
namespace {

struct Pair {
  std::vector<int32_t> clean, corrupt;
};

/// The same but for two tokens in the middle.
Pair some_pair(size_t tokens = 8) {
  Pair pair{some_ids(tokens, 3), some_ids(tokens, 3)};
  pair.corrupt[3] = (pair.corrupt[3] + 7) % 61;
  pair.corrupt[4] = (pair.corrupt[4] + 20) % 61;
  return pair;
}

const PatchMetric kPatchMetric{.answer = 5, .wrong = 17};

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

/// Every cell against a whole run, to the bit. hook_result's heads are added in another order where
/// the site is edited.
void expect_naive(const Model& model, const PatchOptions& options, double tolerance = 0) {
  const Pair pair = some_pair();
  const bool denoise = options.direction == PatchDirection::kDenoise;
  const Patching found = patch(model, pair.clean, pair.corrupt, options);
  const NaivePatching naive(model, denoise ? pair.corrupt : pair.clean,
                            denoise ? pair.clean : pair.corrupt, options.metric, options.edits);
  for (const PatchGrid& grid : found.grids) {
    for (size_t row = 0; row < grid.layers.size(); ++row) {
      for (size_t column = 0; column < grid.columns.size(); ++column) {
        const double value = grid.values[grid.cell(row, column)],
                     wanted = naive.cell(grid, row, column,
                                         testing_support::listed(options.cells.positions));
        EXPECT_TRUE(tolerance > 0 ? std::abs(value - wanted) <= tolerance
                                  : same_bits(value, wanted))
            << site_name(grid.site, grid.layers[row]) << " " << grid.columns[column] << ": "
            << value << ", a whole run gives " << wanted;
        EXPECT_DOUBLE_EQ(grid.effects[grid.cell(row, column)],
                         (value - found.corrupt) / (found.clean - found.corrupt));
      }
    }
  }
}

const std::vector<Site> kAllLayered = {
    Site::kResidPre, Site::kLn1Scale,   Site::kLn1Normalized, Site::kQ,      Site::kK,
    Site::kV,        Site::kAttnScores, Site::kPattern,       Site::kZ,      Site::kAttnOut,
    Site::kResidMid, Site::kLn2Scale,   Site::kLn2Normalized, Site::kMlpPre, Site::kMlpPost,
    Site::kMlpOut,   Site::kResidPost};

TEST(Patching, EveryCellIsAWholeRunWithThatEdit) {
  const Model model = small_model();
  for (const PatchDirection direction : {PatchDirection::kDenoise, PatchDirection::kNoise}) {
    expect_naive(model,
                 {.metric = kPatchMetric, .direction = direction, .cells = {.sites = kAllLayered}});
    expect_naive(model, {.metric = kPatchMetric,
                         .direction = direction,
                         .cells = {.sites = {Site::kQ, Site::kK, Site::kV, Site::kAttnScores,
                                             Site::kPattern, Site::kZ},
                                   .over = PatchOver::kHeads}});
    expect_naive(model, {.metric = kPatchMetric,
                         .direction = direction,
                         .cells = {.sites = kAllLayered, .over = PatchOver::kWhole}});
  }
  expect_naive(model, {.metric = kPatchMetric,
                       .cells = {.sites = {Site::kPattern, Site::kV},
                                 .over = PatchOver::kHeads,
                                 .positions = {3, 7}}});
  expect_naive(model, {.metric = kPatchMetric,
                       .cells = {.sites = {Site::kMlpPost, Site::kResidPre},
                                 .over = PatchOver::kNeurons,
                                 .layers = {0, 2},
                                 .neurons = {0, 7, 23}}});
  expect_naive(model, {.metric = {.kind = PatchMetric::Kind::kProb, .answer = 9},
                       .cells = {.sites = {Site::kMlpOut}}});
}

/// Edits before, at and after the first block, of positions and heads, and past the last block.
Hooks some_edits() {
  return Hooks()
      .edit(Site::kEmbed, scale(1.25f))
      .edit(Site::kResidPre, add(Tensor::from(std::vector<float>{0.3f})),
            {.layers = {0, 1}, .positions = {2, -1}})
      .edit(Site::kZ, zero(), {.layers = {1}, .heads = {1}})
      .edit("blocks.*.hook_mlp_out", scale(0.5f), {.positions = {4, -2}})
      .edit("ln_final.hook_normalized", scale(1.5f));
}

TEST(Patching, EditsHoldInEveryRun) {
  const Model model = small_model();
  for (const PatchDirection direction : {PatchDirection::kDenoise, PatchDirection::kNoise}) {
    PatchOptions options{
        .metric = kPatchMetric, .direction = direction, .cells = {.sites = kAllLayered}};
    options.edits = some_edits();
    expect_naive(model, options);
    options.cells = {.sites = {Site::kZ, Site::kV}, .over = PatchOver::kHeads};
    expect_naive(model, options);
  }
  // The estimate is (clean - corrupt) x gradient of runs with the edits, by hand.
  const Pair pair = some_pair();
  PatchOptions options{.metric = kPatchMetric, .cells = {.sites = {Site::kMlpOut}}};
  options.exact = false;
  options.attribution = true;
  options.edits = some_edits();
  const Patching found = patch(model, pair.clean, pair.corrupt, options);
  const Backward back = backward(model, {pair.corrupt}, {kPatchMetric.target()},
                                 some_edits().capture(Site::kMlpOut).gradient(Site::kMlpOut));
  const auto clean = model.forward(pair.clean, some_edits().capture(Site::kMlpOut));
  for (int layer = 0; layer < 3; ++layer) {
    for (int64_t position = 0; position < 8; ++position) {
      double change = 0;
      const auto row = [&](TensorView view) { return view.slice(position).f32(); };
      const auto to = row(clean.view(Site::kMlpOut, layer)),
                 from = row(back.run.view(Site::kMlpOut, layer)),
                 slope = row(back.gradient(Site::kMlpOut, layer));
      for (size_t i = 0; i < to.size(); ++i)
        change += (static_cast<double>(to[i]) - static_cast<double>(from[i])) *
                  static_cast<double>(slope[i]);
      EXPECT_NEAR(found.grids[0].estimates[found.grids[0].cell(static_cast<size_t>(layer),
                                                               static_cast<size_t>(position))],
                  change / (found.clean - found.corrupt), 1e-6);
    }
  }
  options.edits = Hooks().edit(Site::kZ, zero(), {.sequences = {0}});
  EXPECT_EQ(user_error_of([&] { patch(model, pair.clean, pair.corrupt, options); }),
            "the edit of 'blocks.*.attn.hook_z' selects sequences, but holds in each prompt: leave "
            "them out");
}

TEST(Patching, SeveralAnswersCountTogether) {
  const std::vector<float> logits = {1.0f, -2.0f, 0.5f, 3.0f, 0.25f};
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  const auto log_prob = [&](size_t id) { return static_cast<double>(logits[id]) - std::log(sum); };
  using Kind = PatchMetric::Kind;
  const auto of = [&](Kind kind) {
    return PatchMetric{.kind = kind, .answer = {0, 3}, .wrong = {1, 2, 4}}.of(logits);
  };
  EXPECT_DOUBLE_EQ(of(Kind::kLogit), (1.0 + 3.0) / 2);
  EXPECT_DOUBLE_EQ(of(Kind::kLogitDifference), 2 - (-2.0 + 0.5 + 0.25) / 3);
  EXPECT_DOUBLE_EQ(of(Kind::kLogProb), (log_prob(0) + log_prob(3)) / 2);
  EXPECT_DOUBLE_EQ(of(Kind::kProb), std::exp(log_prob(0)) + std::exp(log_prob(3)));

  // The target of the gradient is the same number.
  const Model model = small_model();
  const auto ids = some_ids(6);
  const auto logits_of_model = model.forward(ids, {}, {.logits = LogitRows::kLast});
  for (const Kind kind : {Kind::kLogitDifference, Kind::kLogit, Kind::kLogProb, Kind::kProb}) {
    const PatchMetric metric{.kind = kind, .answer = {5, 9}, .wrong = {17, 2}};
    const Backward found =
        backward(model, {ids}, {metric.target()}, Hooks().gradient("hook_embed"));
    EXPECT_NEAR(found.values[0], metric.of(logits_of_model.logits().f32()), 1e-5);
  }
  const Pair pair = some_pair();
  const auto refused = [&](PatchMetric metric) {
    return user_error_of(
        [&] { patch(model, pair.clean, pair.corrupt, {.metric = std::move(metric)}); });
  };
  EXPECT_EQ(refused({.answer = {5, 6, 5}, .wrong = 1}),
            "duplicate token 5 in the answer: expected each token once");
  EXPECT_EQ(refused({.answer = {5, 6}, .wrong = {1, 6}}),
            "the answer and the wrong answer are the same token 6: expected different tokens");
  EXPECT_EQ(refused({.answer = {}, .wrong = {1}}),
            "the answer is empty: expected at least one token");
}

TEST(Patching, HeadResultsAgreeToRounding) {
  // An edit of hook_result adds the heads up in another order: the promise's one exception.
  expect_naive(
      small_model(),
      {.metric = kPatchMetric, .cells = {.sites = {Site::kResult}, .over = PatchOver::kHeads}},
      1e-5);
}

TEST(Patching, BatchesChangeNothing) {
  const Model model = small_model();
  const Pair pair = some_pair();
  PatchOptions options{.metric = kPatchMetric,
                       .cells = {.sites = {Site::kResidPre, Site::kMlpPost}}};
  const Patching whole = patch(model, pair.clean, pair.corrupt, options);
  for (const int64_t tokens : {1, 7, 40}) {
    options.batch_tokens = tokens;
    const Patching parts = patch(model, pair.clean, pair.corrupt, options);
    for (size_t g = 0; g < 2; ++g) EXPECT_EQ(parts.grids[g].values, whole.grids[g].values);
    EXPECT_EQ(parts.work.computed, whole.work.computed);
  }
}

TEST(Patching, TheWholeStreamIsTheOtherRun) {
  const Model model = small_model();
  const Pair pair = some_pair();
  for (const PatchDirection direction : {PatchDirection::kDenoise, PatchDirection::kNoise}) {
    const Patching found = patch(
        model, pair.clean, pair.corrupt,
        {.metric = kPatchMetric, .direction = direction, .cells = {.over = PatchOver::kWhole}});
    const double wanted = direction == PatchDirection::kDenoise ? 1.0 : 0.0;
    for (const double effect : found.grids[0].effects) EXPECT_EQ(effect, wanted);
    EXPECT_EQ(found.clean,
              kPatchMetric.of(testing_support::logits_of(
                                  model.forward(pair.clean, {}, {.logits = LogitRows::kLast}))
                                  .f32()));
    EXPECT_EQ(found.corrupt,
              kPatchMetric.of(testing_support::logits_of(
                                  model.forward(pair.corrupt, {}, {.logits = LogitRows::kLast}))
                                  .f32()));
  }
}

TEST(Patching, WindowsReplaceSeveralLayers) {
  const Model model = small_model();
  const Pair pair = some_pair();
  const Patching found =
      patch(model, pair.clean, pair.corrupt,
            {.metric = kPatchMetric, .cells = {.sites = {Site::kMlpOut}, .window = 3}});
  const auto source = model.forward(pair.clean, Hooks().capture("*")).shared_captures();
  const std::vector<std::string> layers = {
      "blocks.{0..1}.hook_mlp_out", "blocks.{0..2}.hook_mlp_out", "blocks.{1..2}.hook_mlp_out"};
  for (size_t row = 0; row < 3; ++row) {
    for (int64_t position = 0; position < 8; ++position) {
      const Hooks edits =
          Hooks().edit(layers[row], replace_from(source), {.positions = {position}});
      const double wanted =
          kPatchMetric.of(testing_support::logits_of(
                              model.forward(pair.corrupt, edits, {.logits = LogitRows::kLast}))
                              .f32());
      EXPECT_EQ(found.grids[0].values[found.grids[0].cell(row, static_cast<size_t>(position))],
                wanted);
    }
  }
}

TEST(Patching, ComputesOnlyWhatChanges) {
  const Model model = small_model();  // 3 layers
  const Pair pair = some_pair();      // 8 tokens, 3 and 4 differ
  const Patching found = patch(model, pair.clean, pair.corrupt, {.metric = kPatchMetric});
  EXPECT_EQ(found.work.cells, 24);
  EXPECT_EQ(found.work.naive, (24 + 2) * 8 * 3);
  // Before the first block only positions 3 and 4 differ, after it 3 to 7. A cell at p runs 8 - p
  // tokens.
  const int64_t first = 3 * (5 + 4), others = (2 + 1) * (5 + 4 + 3 + 2 + 1);
  EXPECT_EQ(found.work.computed, 2 * 8 * 3 + first + others);
  // In the last block what an MLP writes elsewhere is not read by the last position.
  const Patching last =
      patch(model, pair.clean, pair.corrupt,
            {.metric = kPatchMetric, .cells = {.sites = {Site::kMlpOut}, .layers = {-1}}});
  EXPECT_EQ(last.work.computed, 2 * 8 * 3 + 1);
}

TEST(Patching, ReadsTheMetricWhereAsked) {
  const Model model = small_model();
  Pair pair = some_pair();
  const Patching found =
      patch(model, pair.clean, pair.corrupt, {.metric = kPatchMetric, .position = 5});
  const std::vector<int32_t> clean(pair.clean.begin(), pair.clean.begin() + 6),
      corrupt(pair.corrupt.begin(), pair.corrupt.begin() + 6);
  const Patching cut = patch(model, clean, corrupt, {.metric = kPatchMetric});
  EXPECT_EQ(found.grids[0].values, cut.grids[0].values);
  EXPECT_EQ(
      found.clean,
      kPatchMetric.of(testing_support::logits_of(model.forward(pair.clean)).view().slice(5).f32()));
}

TEST(Patching, AlignsPromptsOfDifferentLengths) {
  const Model model = small_model();
  const std::vector<int32_t> clean = {3, 14, 15, 9, 26}, corrupt = {3, 14, 40, 41, 9, 27};
  const std::vector<std::pair<int64_t, int64_t>> alignment = {{0, 0}, {1, 1}, {3, 4}, {4, 5}};
  const Patching found =
      patch(model, clean, corrupt,
            {.metric = kPatchMetric, .cells = {.sites = {Site::kMlpOut}}, .alignment = alignment});
  const PatchGrid& grid = found.grids[0];
  const auto source = model.forward(clean, Hooks().capture("*"));
  for (size_t row = 0; row < 3; ++row) {
    for (size_t column = 0; column < 6; ++column) {
      double wanted = found.corrupt;  // positions without a partner stay as they are
      for (const auto& [from, to] : alignment) {
        if (to != static_cast<int64_t>(column)) continue;
        const std::string name = site_name(Site::kMlpOut, static_cast<int>(row));
        const Hooks edits = Hooks().edit(
            name, replace(Tensor::from(source[name].slice(from).f32())), {.positions = {to}});
        wanted = kPatchMetric.of(
            testing_support::logits_of(model.forward(corrupt, edits, {.logits = LogitRows::kLast}))
                .f32());
      }
      EXPECT_EQ(grid.values[grid.cell(row, column)], wanted) << row << " " << column;
    }
  }
  const Patching back =
      patch(model, clean, corrupt,
            {.metric = kPatchMetric, .direction = PatchDirection::kNoise, .alignment = alignment});
  EXPECT_EQ(back.grids[0].columns.size(), clean.size());
}

TEST(AttributionPatching, IsTheSlopeOfPatching) {
  // A base run and one a small step away from it: the estimate's error falls with the square of the
  // step.
  const Model model = small_model();
  const auto ids = some_ids(7);
  const std::string site = "blocks.1.hook_resid_pre";
  const auto base = model.forward(ids, Hooks().capture(site));
  const Backward slope = backward(model, {ids}, {kPatchMetric.target()}, Hooks().gradient(site));
  const auto gradient = slope.gradient(site).slice(4).f32();
  const auto error = [&](double step) {
    std::vector<float> moved = base[site].slice(4).to_f32();
    double estimate = 0;
    for (size_t i = 0; i < moved.size(); ++i) {
      const float before = moved[i];
      moved[i] += static_cast<float>(step * std::sin(static_cast<double>(i)));
      estimate += static_cast<double>(moved[i] - before) * static_cast<double>(gradient[i]);
    }
    const vitrine::Run patched =
        model.forward(ids, Hooks().edit(site, replace(Tensor::from(moved)), {.positions = {4}}),
                      {.logits = LogitRows::kLast});
    const double value = kPatchMetric.of(patched.logits().f32());
    return std::abs(value - kPatchMetric.of(base.logits().slice(6).f32()) - estimate) /
           std::abs(estimate);
  };
  EXPECT_LT(error(0.01), error(0.1));
  EXPECT_LT(error(0.01), 0.05);
}

TEST(AttributionPatching, EqualsPatchingWhereTheModelIsLinear) {
  // An epsilon far above the variances makes every layernorm's scale a constant, and what it gives
  // so small that patterns and neurons move along their tangents: the logits are linear in the
  // residual stream but for some 1e-3 of what it moves them, which is about as much as float32
  // leaves of differences so small.
  Config config = small_model().config();
  config.layer_norm_epsilon = 3.0f;
  const Model model = Model::random(config, 5, {.threads = 2});
  const Pair pair = some_pair();
  PatchOptions options{.metric = kPatchMetric, .attribution = true};
  options.cells.sites = {Site::kResidPre, Site::kZ,      Site::kAttnOut,
                         Site::kMlpPost,  Site::kMlpOut, Site::kResidPost};
  for (const PatchGrid& grid : patch(model, pair.clean, pair.corrupt, options).grids) {
    double largest = 0;
    for (double effect : grid.effects) largest = std::max(largest, std::abs(effect));
    for (size_t i = 0; i < grid.effects.size(); ++i)
      EXPECT_NEAR(grid.estimates[i], grid.effects[i], 5e-3 * largest)
          << site_info(grid.site).name << " " << i;
    EXPECT_GT(grid.correlation(), 0.9999) << site_info(grid.site).name;
  }
}

TEST(AttributionPatching, AddsUpOverPositionsAndHeads) {
  const Model model = small_model();
  const Pair pair = some_pair();
  PatchOptions options{.metric = kPatchMetric, .exact = false, .attribution = true};
  const auto sums = [&](PatchOver over) {
    options.cells = {.sites = {Site::kZ, Site::kPattern, Site::kAttnScores}, .over = over};
    std::vector<double> rows;
    for (const PatchGrid& grid : patch(model, pair.clean, pair.corrupt, options).grids) {
      EXPECT_TRUE(grid.values.empty() && grid.effects.empty());
      for (size_t row = 0; row < grid.layers.size(); ++row) {
        rows.push_back(0);
        for (size_t column = 0; column < grid.columns.size(); ++column)
          rows.back() += grid.estimates[grid.cell(row, column)];
      }
    }
    return rows;
  };
  const auto whole = sums(PatchOver::kWhole), positions = sums(PatchOver::kPositions),
             heads = sums(PatchOver::kHeads);
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_NEAR(positions[i], whole[i], 1e-12 * (1 + std::abs(whole[i])));
    EXPECT_NEAR(heads[i], whole[i], 1e-12 * (1 + std::abs(whole[i])));
    EXPECT_NE(whole[i], 0.0);
  }
}

TEST(PatchGrid, Correlation) {
  PatchGrid grid;
  EXPECT_TRUE(std::isnan(grid.correlation()));
  grid.effects = {1, 2, 4};
  grid.estimates = {3, 1, -3};
  EXPECT_DOUBLE_EQ(grid.correlation(), -1.0);
  grid.estimates = {1, 3, 2};  // by hand: (sum of products 1) / sqrt(14/3 * 2)
  EXPECT_NEAR(grid.correlation(), 1.0 / std::sqrt(28.0 / 3.0), 1e-15);
}

TEST(Patching, RefusesWhatMakesNoSense) {
  const Model model = small_model();
  const Pair pair = some_pair();
  const auto refuse = [&](PatchOptions options) {
    options.metric = kPatchMetric;
    return user_error_of([&] { patch(model, pair.clean, pair.corrupt, options); });
  };
  const auto of = [&](const PatchMetric& metric) {
    return user_error_of([&] { patch(model, pair.clean, pair.corrupt, {.metric = metric}); });
  };
  EXPECT_EQ(user_error_of([&] { patch(model, pair.clean, some_ids(5), {.metric = kPatchMetric}); }),
            "the clean prompt has 8 tokens, the corrupt one 5: expected the same length; or use an "
            "alignment of their positions");
  EXPECT_EQ(user_error_of([&] { patch(model, pair.clean, pair.clean, {.metric = kPatchMetric}); }),
            "the clean and the corrupt prompt are the same 8 tokens: expected different prompts");
  EXPECT_EQ(user_error_of([&] { patch(model, {}, pair.corrupt, {.metric = kPatchMetric}); }),
            "the clean prompt is empty: expected at least one token");
  EXPECT_EQ(of({.answer = 61}), "the answer 61 is out of range: expected 0..60");
  EXPECT_EQ(of({.answer = 6, .wrong = -1}), "the wrong answer -1 is out of range: expected 0..60");
  EXPECT_EQ(of({.answer = 6, .wrong = 6}),
            "the answer and the wrong answer are the same token 6: expected different tokens");
  EXPECT_EQ(refuse({.position = 8}),
            "position 8 is out of range of the corrupt prompt, which has 8 tokens: expected 0..7 "
            "or -8..-1");
  EXPECT_EQ(refuse({.cells = {.layers = {3}}}),
            "layer 3 is out of range: expected 0..2, the layers of the model");
  EXPECT_EQ(
      refuse({.cells = {.positions = {8}}}),
      "position 8 is out of range: expected 0..7, the positions up to where the metric is read");
  EXPECT_EQ(refuse({.cells = {.sites = {}}}),
            "missing site to patch: expected at least one, such as hook_resid_pre");
  EXPECT_EQ(refuse({.cells = {.sites = {Site::kQ, Site::kQ}}}),
            "duplicate site 'attn.hook_q': expected each site once");
  EXPECT_EQ(refuse({.cells = {.sites = {Site::kEmbed}}}),
            "cannot sweep site 'hook_embed', which has no layers: expected a per-layer site, such "
            "as hook_resid_pre");
  EXPECT_EQ(refuse({.cells = {.over = PatchOver::kHeads}}),
            "site 'hook_resid_pre' has no heads to sweep: use a site such as attn.hook_z, or sweep "
            "positions");
  EXPECT_EQ(refuse({.cells = {.sites = {Site::kZ}, .over = PatchOver::kHeads, .heads = {2}}}),
            "head 2 is out of range: expected 0..1, the heads of the model");
  EXPECT_EQ(refuse({.cells = {.sites = {Site::kZ}, .over = PatchOver::kNeurons}}),
            "site 'attn.hook_z' has heads and no neurons: sweep heads");
  EXPECT_EQ(
      refuse({.cells = {.sites = {Site::kMlpPost}, .over = PatchOver::kNeurons, .neurons = {40}}}),
      "neuron 40 is out of range: expected 0..39, the elements of the site's row");
  EXPECT_EQ(refuse({.cells = {.window = 0}}),
            "window of 0 layers is out of range: expected at least 1");
  EXPECT_EQ(refuse({.batch_tokens = 0}), "batch_tokens 0 is out of range: expected at least 1");
  EXPECT_EQ(refuse({.alignment = {{0, 8}}}),
            "the alignment's position 8 of the corrupt prompt is out of range: expected 0..7");
  EXPECT_EQ(refuse({.alignment = {{0, 1}, {2, 1}}}),
            "duplicate position in the alignment's pair 2:1: expected each position at most once");
  EXPECT_EQ(
      refuse({.cells = {.sites = {Site::kPattern}}, .alignment = {{0, 0}}}),
      "cannot align site 'attn.hook_pattern', which is a map: expected prompts of the same length");
  EXPECT_EQ(user_error_of([] { patch_metric_from_name("loss"); }),
            "unknown metric 'loss': expected one of logit-difference, logit, log-prob, prob");
}

TEST(Patching, RefusesPromptsThatAnswerAlike) {
  const Model model = small_model();
  const Pair pair = some_pair();
  EXPECT_EQ(user_error_of([&] {
              patch(model, pair.clean, pair.corrupt, {.metric = kPatchMetric, .position = 2});
            }),
            "the clean and the corrupt prompt are the same 3 tokens: expected different prompts")
      << "the prompts differ only after the position where the metric is read";
  EXPECT_EQ(user_error_of([] { metric_scale(0.5, 0.5, PatchDirection::kDenoise, kPatchMetric); }),
            "the logit-difference is 0.5 for both prompts: expected different values; choose other "
            "tokens or prompts");
}

}  // namespace
}  // namespace vitrine::testing
