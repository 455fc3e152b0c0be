#include "vitrine/lens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "support.h"

namespace vitrine::testing {
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
  EXPECT_EQ(lens(model, some_ids(4), {.mode = LensMode::kEcco}).layers, (std::vector<int>{1, 2, 3}));
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
      const size_t here = part.cell(r, p), there = whole.cell(r * 2, static_cast<size_t>(part.positions[p]));
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
    EXPECT_EQ(edited.target_log_probs[edited.cell(1, p)], plain.target_log_probs[plain.cell(1, p)]) << "before the edit";
  }
  EXPECT_NE(edited.target_log_probs[edited.cell(2, 0)], plain.target_log_probs[plain.cell(2, 0)]);
  const auto logits = model.forward(ids, options.edits);
  EXPECT_NEAR(edited.target_log_probs[edited.cell(3, 2)], look_up(logits.logits().slice(2).f32(), ids[3]).second, 1e-5);
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
  EXPECT_EQ(user_error_of([&] { lens(model, {}); }), "the text has no tokens to look at; give at least one");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.positions = {4}}); }), "position 4 is outside 0..3, the positions of the text");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.positions = {-5}}); }), "position -5 is outside 0..3, the positions of the text");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.layers = {4}}); }), "layer 4 is outside 0..3, the rows of this mode");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.mode = LensMode::kEcco, .layers = {0}}); }), "layer 0 is outside 1..3, the rows of this mode");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.watch = {61}}); }), "the watched id 61 is outside the vocabulary 0..60");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.target = -1}); }), "the target -1 is outside the vocabulary 0..60");
  EXPECT_EQ(user_error_of([&] { lens(model, ids, {.top_k = -1}); }), "top_k -1 is negative; use 0 for none");
  EXPECT_EQ(user_error_of([&] { lens_mode_from_name("tuned"); }), "lens mode 'tuned' is not known; use normalized or ecco");
}

}  // namespace
}  // namespace vitrine::testing
