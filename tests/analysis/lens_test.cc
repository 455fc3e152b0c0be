// SPDX-License-Identifier: MIT
#include "vitrine/analysis/lens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "support.h"
#include "vitrine/logit_rows.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// Rank and log-probability of a token, from whole logits.
std::pair<int32_t, double> look_up(std::span<const float> logits, int32_t id) {
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  const float own = logits[static_cast<size_t>(id)];
  const auto above = std::count_if(logits.begin(), logits.end(), [&](float x) { return x > own; });
  return {static_cast<int32_t>(1 + above), own - std::log(sum)};
}

TEST(Lens, LastRowIsTheModelsOutputInBothModes) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const auto run = model.forward(ids);
  for (const LensMode mode : {LensMode::kNormalized, LensMode::kEcco}) {
    const Lens found = lens(model, ids, {.mode = mode, .top_k = 61, .layers = {-1}});
    ASSERT_EQ(found.rows(), 1u);
    for (size_t p = 0; p < ids.size(); ++p) {
      const auto logits = run.logits().slice(static_cast<int64_t>(p)).f32();
      std::set<int32_t> seen;
      for (size_t k = 0; k < 61; ++k) {
        const int32_t id = found.top_ids[p * 61 + k];
        seen.insert(id);
        EXPECT_NEAR(found.top_log_probs[p * 61 + k], look_up(logits, id).second, 1e-5);
      }
      EXPECT_EQ(seen.size(), 61u) << "each token once";
      const auto [rank, log_prob] = look_up(logits, found.targets[p]);
      EXPECT_EQ(found.target_ranks[p], rank);
      EXPECT_NEAR(found.target_log_probs[p], log_prob, 1e-5);
    }
  }
}

TEST(Lens, RowsOfEachMode) {
  const Model model = small_model();
  EXPECT_EQ(lens(model, some_ids(4)).layers, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(lens(model, some_ids(4), {.mode = LensMode::kEcco}).layers,
            (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(lens(model, some_ids(4), {.layers = {-1, 1, 1}}).layers, (std::vector<int>{1, 3}));
}

TEST(Lens, TargetsAreTheNextTokensThenTheModelsChoice) {
  const Model model = small_model();
  const auto ids = some_ids(5);
  const Lens found = lens(model, ids);
  EXPECT_TRUE(std::equal(found.targets.begin(), found.targets.end() - 1, ids.begin() + 1));
  const size_t last = found.cell(found.rows() - 1, 4);
  EXPECT_EQ(found.target_ranks[last], 1);
  EXPECT_EQ(found.targets[4], found.top_ids[last * 5]);
  EXPECT_EQ(lens(model, ids, {.target = 17}).targets[4], 17);
}

TEST(Lens, PartsEqualTheWhole) {
  const Model model = small_model();
  const auto ids = some_ids(9);
  const Lens whole = lens(model, ids, {.watch = {3, 60}});
  const Lens part = lens(model, ids, {.watch = {3, 60}, .positions = {-1, 2}, .layers = {0, 2}});
  EXPECT_EQ(part.positions, (std::vector<int64_t>{2, 8}));
  for (size_t r = 0; r < 2; ++r) {
    for (size_t p = 0; p < 2; ++p) {
      const size_t here = part.cell(r, p),
                   there = whole.cell(r * 2, static_cast<size_t>(part.positions[p]));
      EXPECT_EQ(part.target_log_probs[here], whole.target_log_probs[there]);
      EXPECT_EQ(part.entropies[here], whole.entropies[there]);
      EXPECT_EQ(part.watch_ranks[here * 2 + 1], whole.watch_ranks[there * 2 + 1]);
    }
  }
}

TEST(Lens, EditsAreSeen) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  LensOptions options;
  options.edits.edit("blocks.1.hook_mlp_out", zero());
  const Lens plain = lens(model, ids), edited = lens(model, ids, options);
  for (size_t p = 0; p < ids.size(); ++p) {
    EXPECT_EQ(edited.target_log_probs[edited.cell(1, p)], plain.target_log_probs[plain.cell(1, p)])
        << "before the edit";
  }
  EXPECT_NE(edited.target_log_probs[edited.cell(2, 0)], plain.target_log_probs[plain.cell(2, 0)]);
  const auto logits = model.forward(ids, options.edits);
  EXPECT_NEAR(edited.target_log_probs[edited.cell(3, 2)],
              look_up(logits.logits().slice(2).f32(), ids[3]).second, 1e-5);
}

/// KL(p || q) of the softmaxes of two rows of logits.
double divergence(std::span<const float> p, std::span<const float> q) {
  double result = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    const double log_p = look_up(p, static_cast<int32_t>(v)).second,
                 log_q = look_up(q, static_cast<int32_t>(v)).second;
    result += std::exp(log_p) * (log_p - log_q);
  }
  return result;
}

// The top of a whole vocabulary is the distribution, so the divergence can be taken from there.
TEST(Lens, DivergenceIsThatOfTheRowsOwnDistributions) {
  const Model model = small_model();
  const auto ids = some_ids(9);
  for (const LensSource of : {LensSource::kResidual, LensSource::kAttention, LensSource::kMlp}) {
    for (const LensMode mode : {LensMode::kNormalized, LensMode::kEcco}) {
      const Lens found = lens(
          model, ids, {.mode = mode, .of = of, .kl = true, .top_k = 61, .positions = {1, 4, 8}});
      const auto run = model.forward(ids);
      ASSERT_EQ(found.kl.size(), found.rows() * 3);
      for (size_t r = 0; r < found.rows(); ++r) {
        for (size_t p = 0; p < 3; ++p) {
          std::vector<float> log_q(61);
          const size_t cell = found.cell(r, p);
          for (size_t k = 0; k < 61; ++k)
            log_q[static_cast<size_t>(found.top_ids[cell * 61 + k])] =
                static_cast<float>(found.top_log_probs[cell * 61 + k]);
          EXPECT_NEAR(found.kl[cell],
                      divergence(run.logits().slice(found.positions[p]).f32(), log_q), 1e-5)
              << r << " " << p;
          if (of == LensSource::kResidual && found.layers[r] == 3)
            EXPECT_NEAR(found.kl[cell], 0, 1e-12) << "the output against itself";
          else
            EXPECT_GT(found.kl[cell], 1e-3);
        }
      }
    }
  }
  EXPECT_TRUE(lens(model, ids).kl.empty());
}

// More positions than are compared at once.
TEST(Lens, DivergenceOfManyPositionsIsThatOfEach) {
  Config config = small_model().config();
  config.context = 70;
  const Model model = Model::random(config, 5, {.threads = 2});
  const auto ids = some_ids(70);
  const Lens all = lens(model, ids, {.kl = true}),
             some = lens(model, ids, {.kl = true, .positions = {0, 63, 64, 69}, .layers = {1}});
  for (size_t p = 0; p < 4; ++p)
    EXPECT_EQ(some.kl[p], all.kl[all.cell(1, static_cast<size_t>(some.positions[p]))]) << p;
}

// More rows than are held at once.
TEST(LogitRows, AreThoseOfAPassInOrder) {
  Config config = small_model().config();
  config.context = 70;
  const Model model = Model::random(config, 5, {.threads = 2});
  const auto run = model.forward(some_ids(70), Hooks().capture("blocks.2.hook_resid_post"));
  int64_t next = 0;
  visit_logits(model, run["blocks.2.hook_resid_post"], true,
               [&](int64_t row, std::span<const float> logits) {
                 EXPECT_EQ(row, next++);
                 EXPECT_TRUE(std::ranges::equal(logits, run.logits().slice(row).f32())) << row;
               });
  EXPECT_EQ(next, 70);
  const Tensor narrow(DType::kF32, {2, 23});
  EXPECT_EQ(user_error_of(
                [&] { visit_logits(model, narrow, true, [](int64_t, std::span<const float>) {}); }),
            "unembed has rows of shape [2, 23]: expected the model's width 24 as last axis");
}

TEST(Lens, SourcesReadWhatBlocksWrite) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  LensOptions options{.of = LensSource::kMlp, .layers = {2}};
  const Lens plain = lens(model, ids, options);
  // The same rows, put where the residual stream of the embeddings is read.
  const auto run = model.forward(ids, Hooks().capture("blocks.1.hook_mlp_out"));
  const Tensor rows =
      Tensor::from(run["blocks.1.hook_mlp_out"].f32(), run["blocks.1.hook_mlp_out"].shape());
  LensOptions replaced{.layers = {0}};
  replaced.edits.edit("blocks.0.hook_resid_pre", replace(rows), {.positions = {0, 1, 2, 3, 4, 5}});
  EXPECT_EQ(lens(model, ids, {.of = LensSource::kAttention}).layers, (std::vector<int>{1, 2, 3}));
  const Lens same = lens(model, ids, replaced);
  for (size_t p = 0; p + 1 < ids.size(); ++p)
    EXPECT_EQ(plain.target_log_probs[p], same.target_log_probs[p]) << p;
}

TEST(Lens, RankingsAreALensOverTheWholeText) {
  const Model model = small_model();
  const auto prompt = some_ids(4);
  const LensOptions options{.kl = true, .watch = {5}};
  const Lens found = rankings(
      model, prompt, {.max_new_tokens = 5, .sampling = {.temperature = 2.0f, .seed = 3}}, options);
  ASSERT_EQ(found.ids.size(), 9u);
  EXPECT_EQ(found.positions, (std::vector<int64_t>{3, 4, 5, 6, 7}));
  EXPECT_EQ(found.targets, (std::vector<int32_t>(found.ids.begin() + 4, found.ids.end())));
  LensOptions whole = options;
  whole.positions = found.positions;
  const Lens again = lens(model, found.ids, whole);
  EXPECT_EQ(found.target_ranks, again.target_ranks);
  EXPECT_EQ(found.target_log_probs, again.target_log_probs) << "the same bits as one pass over all";
  EXPECT_EQ(found.watch_ranks, again.watch_ranks);
  EXPECT_EQ(found.kl, again.kl);
}

TEST(Lens, RankingsEndWhereTheGenerationDoes) {
  const Model model = small_model();
  const auto prompt = some_ids(9);
  GenerateOptions to_the_end{.max_new_tokens = 50};
  to_the_end.past_context = PastContext::kEnd;
  const Lens full = rankings(model, prompt, to_the_end);
  EXPECT_EQ(full.ids.size(), 13u) << "the context is 12, and the last token needs no room";
  GenerateOptions stopping = to_the_end;
  stopping.stop_ids = {full.ids[10]};
  const Lens stopped = rankings(model, prompt, stopping);
  EXPECT_EQ(stopped.ids,
            (std::vector<int32_t>(full.ids.begin(), full.ids.begin() + static_cast<std::ptrdiff_t>(
                                                                           stopped.ids.size()))));
  EXPECT_LE(stopped.ids.size(), 11u);
  EXPECT_EQ(stopped.ids.back(), full.ids[10]);
  LensOptions edited;
  edited.edits.edit("blocks.2.hook_mlp_out", zero());
  EXPECT_NE(rankings(model, prompt, {.max_new_tokens = 3}, edited).target_log_probs,
            rankings(model, prompt, {.max_new_tokens = 3}).target_log_probs);
  EXPECT_EQ(user_error_of([&] { rankings(model, prompt, {.max_new_tokens = 0}); }),
            "max_new_tokens 0 is out of range: expected at least 1");
  EXPECT_EQ(user_error_of([&] { rankings(model, prompt, {}, {.positions = {1}}); }),
            "invalid positions: a generation is decoded at its own steps; leave the positions out");
  EXPECT_EQ(user_error_of([&] { rankings(model, prompt, {}, {.target = 1}); }),
            "invalid target: the targets of a generation are its own tokens; leave the target out");
}

TEST(Lens, TiesShareARank) {
  const Model model = small_model();
  LensOptions options;
  options.edits.edit("ln_final.hook_normalized", zero());  // all logits equal
  options.layers = {-1};
  const Lens found = lens(model, some_ids(3), options);
  for (const int32_t rank : found.target_ranks) EXPECT_EQ(rank, 1);
  for (const double entropy : found.entropies) EXPECT_NEAR(entropy, std::log(61.0), 1e-5);
  EXPECT_EQ(found.top_ids[0], 0) << "of equals the smaller id first";
}

TEST(Lens, RefusesWhatIsNotThere) {
  const Model model = small_model();
  const auto ids = some_ids(4);
  EXPECT_EQ(user_error_of([&] { lens(model, {}); }),
            "the text is empty: expected at least one token");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.positions = {4}}); }),
            "position 4 is out of range: expected 0..3, the positions of the text");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.positions = {-5}}); }),
            "position -5 is out of range: expected 0..3, the positions of the text");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.layers = {4}}); }),
            "layer 4 is out of range: expected 0..3, the rows of this mode");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.mode = LensMode::kEcco, .layers = {0}}); }),
            "layer 0 is out of range: expected 1..3, the rows of this mode");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.watch = {61}}); }),
            "the watched id 61 is out of range: expected 0..60");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.target = -1}); }),
            "the target -1 is out of range: expected 0..60");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.top_k = -1}); }),
            "top_k -1 is out of range: expected 0 (none) or more");
  EXPECT_EQ(user_error_of([&] { lens_mode_from_name("raw"); }),
            "unknown lens mode 'raw': expected normalized, ecco or tuned");
  EXPECT_EQ(user_error_of([&] { lens_source_from_name("q"); }),
            "unknown lens source 'q': expected residual, attention or mlp");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.of = LensSource::kMlp, .layers = {0}}); }),
            "layer 0 is out of range: expected 1..3, the rows of this mode");
}

}  // namespace
}  // namespace vitrine::testing
