// SPDX-License-Identifier: MIT
#include "vitrine/analysis/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "analysis/attention/maps.h"
#include "base/json.h"
#include "support.h"
#include "vitrine/analysis/patching.h"

namespace vitrine::testing {
using namespace internal;
namespace {

std::filesystem::path goldens() {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" / "goldens";
}

/// Written by hand (tools/make_attention_goldens.py): head 0.0 attends to the previous token, 0.1
/// to itself, 1.0 is an induction head, 2.0 a duplicate-token head, 1.1 and 2.1 attend to
/// everything alike.
Model induction_model() { return Model::load((goldens() / "induction").string(), {.threads = 1}); }
const std::vector<int32_t> kRepeating = {0, 3, 7, 1, 9,
                                         4, 3, 7, 1, 9};  // what follows is 4, at position 5
constexpr size_t kSource = 5;

/// The input that matters most to a query beside itself.
size_t strongest_other(std::span<const double> row, size_t query) {
  return static_cast<size_t>(
      std::max_element(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(query)) -
      row.begin());
}

TEST(Attention, MapsAreTheHooksOwn) {
  const Model model = small_model();
  const auto ids = some_ids(7);
  const AttentionMaps maps =
      attention(model, ids, {.layers = {-1, 0}, .heads = {1}, .queries = {-1, 2}});
  EXPECT_EQ(maps.layers, (std::vector<int>{0, 2}));
  EXPECT_EQ(maps.heads, (std::vector<int>{1}));
  EXPECT_EQ(maps.queries, (std::vector<int64_t>{2, 6}));
  const auto run = model.forward(ids, Hooks().capture("blocks.*.attn.hook_pattern"));
  for (size_t l = 0; l < 2; ++l) {
    for (size_t q = 0; q < 2; ++q) {
      const auto wanted =
          run[site_name(Site::kPattern, maps.layers[l])].slice(1).slice(maps.queries[q]).f32();
      EXPECT_TRUE(std::ranges::equal(maps.row(l, 0, q), wanted));
    }
  }
  EXPECT_EQ(attention(model, ids).map(2, 1).size(), 49u);
}

TEST(Attention, PiecesOfATextGiveTheWholesBits) {
  Config config;
  config.layers = 2;
  config.heads = 3;
  config.width = 12;
  config.inner = 8;
  config.vocab = 61;
  config.context = 40;
  const Model model = Model::random(config, 2, {.threads = 2});
  const auto ids = some_ids(37);
  const auto whole = model.forward(ids, Hooks().capture("blocks.*.attn.hook_pattern"));
  int64_t next = 0, pieces = 0;
  walk_attention_maps(
      model, ids, {0, 1}, {0, 2}, {},
      [&](const MapChunk& chunk) {
        EXPECT_EQ(chunk.first_query, next);
        for (int layer = 0; layer < 2; ++layer) {
          const TensorView wanted = whole[site_name(Site::kPattern, layer)];
          for (int64_t q = 0; q < chunk.queries; ++q) {
            const auto row = chunk.maps[static_cast<size_t>(layer)].slice(1).slice(q).f32();
            const auto all = wanted.slice(2).slice(next + q).f32();
            EXPECT_TRUE(std::equal(row.begin(), row.begin() + next + q + 1, all.begin()));
          }
        }
        next += chunk.queries;
        ++pieces;
      },
      1);
  EXPECT_EQ(next, 37);
  EXPECT_EQ(pieces, 3);
}

class RelevanceGoldens : public ::testing::TestWithParam<const char*> {};

TEST_P(RelevanceGoldens, RolloutAndFlow) {
  // The maps are float32, rounded in the last of some 24 bits; sums of a few products of them keep
  // that.
  constexpr double kTolerance = 2e-6;
  const std::string name = GetParam();
  const Model model = Model::load(
      (name == "induction" ? goldens() / name : golden_folder(name)).string(), {.threads = 1});
  for (const Json& golden : read_json(goldens() / ("attention_" + name + ".json"))) {
    const auto ids = golden["ids"].get<std::vector<int32_t>>();
    const AttentionRelevance rollout = attention_rollout(model, ids),
                             flow = attention_flow(model, ids, {.layers = {}});
    ASSERT_EQ(rollout.layers.size(), static_cast<size_t>(model.config().layers));
    const size_t T = ids.size();
    ASSERT_EQ(flow.capacities.size(), rollout.layers.size() * T * T);
    EXPECT_TRUE(rollout.capacities.empty());
    for (size_t l = 0; l < rollout.layers.size(); ++l) {
      for (size_t q = 0; q < ids.size(); ++q) {
        SCOPED_TRACE("layer " + std::to_string(l) + " query " + std::to_string(q));
        for (size_t j = 0; j < ids.size(); ++j) {
          EXPECT_NEAR(rollout.row(l, q)[j], golden["rollout"][l][q][j].get<double>(), kTolerance);
          EXPECT_NEAR(flow.row(l, q)[j], golden["flow"][std::to_string(l)][q][j].get<double>(),
                      kTolerance);
          // R_0 = A'_0 and R_l = A'_l R_{l-1}: the capacities are what a rollout multiplies.
          const auto row = std::span(flow.capacities).subspan((l * T + q) * T, T);
          double product = l == 0 ? row[j] : 0;
          for (size_t k = 0; l > 0 && k < T; ++k)
            product += row[k] * golden["rollout"][l - 1][k][j].get<double>();
          EXPECT_NEAR(product, golden["rollout"][l][q][j].get<double>(), kTolerance);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, RelevanceGoldens,
                         ::testing::Values("induction", "plain", "everything"),
                         [](const auto& checkpoint) { return std::string(checkpoint.param); });

TEST(Attention, PartsEqualTheWhole) {
  const Model model = small_model();
  const auto ids = some_ids(9);
  const auto rollout = attention_rollout(model, ids),
             some_rollout = attention_rollout(model, ids, {.layers = {1}, .queries = {-1, 3}});
  const auto flow = attention_flow(model, ids, {.layers = {}}),
             some_flow = attention_flow(model, ids, {.layers = {1}, .queries = {-1, 3}});
  for (size_t q = 0; q < 2; ++q) {
    const auto query = static_cast<size_t>(some_flow.queries[q]);
    EXPECT_TRUE(std::ranges::equal(some_rollout.row(0, q), rollout.row(1, query)));
    EXPECT_TRUE(std::ranges::equal(some_flow.row(0, q), flow.row(1, query)));
  }
  EXPECT_EQ(attention_flow(model, ids).layers, (std::vector<int>{2})) << "the last alone";
}

TEST(Attention, EditsAreSeenByAll) {
  const Model model = small_model();
  const auto ids = some_ids(6);
  Hooks edits;
  edits.edit("blocks.*.attn.hook_pattern", zero());  // nothing but the residual connection is left
  for (const AttentionRelevance& found :
       {attention_rollout(model, ids, {.edits = edits}),
        attention_flow(model, ids, {.layers = {}, .edits = edits})}) {
    for (size_t q = 0; q < ids.size(); ++q) {
      for (size_t j = 0; j < ids.size(); ++j) EXPECT_EQ(found.row(2, q)[j], q == j ? 1.0 : 0.0);
    }
  }
  EXPECT_EQ(attention(model, ids, {.edits = edits}).row(1, 1, 5)[2], 0.0f);
  EXPECT_EQ(head_statistics(model, {ids}, {.edits = edits}).distance[0], 0.0);
  EXPECT_EQ(repetition_scores(model, {.edits = edits}).induction[0], 0.0);
}

TEST(Attention, RolloutAndFlowNameTheTokenThatIsCopied) {
  const Model model = induction_model();
  const auto rollout = attention_rollout(model, kRepeating, {.layers = {1}, .queries = {-1}});
  const auto flow = attention_flow(model, kRepeating, {.layers = {1}, .queries = {-1}});
  EXPECT_EQ(strongest_other(rollout.row(0, 0), 9), kSource);
  EXPECT_EQ(strongest_other(flow.row(0, 0), 9), kSource);
}

TEST(Attention, PatchingNamesTheTokenThatIsCopied) {
  const Model model = induction_model();
  std::vector<int32_t> corrupt = kRepeating;
  corrupt[kSource] = 8;
  const Patching found = patch(model, kRepeating, corrupt,
                               {.metric = {.answer = 4, .wrong = 8}, .cells = {.layers = {0, 1}}});
  for (size_t layer = 0; layer < 2; ++layer) {
    for (size_t position = 0; position < kRepeating.size(); ++position) {
      const double effect = found.grids[0].effects[found.grids[0].cell(layer, position)];
      EXPECT_NEAR(effect, position == kSource ? 1.0 : 0.0, 1e-3)
          << layer << " " << position;  // other heads leave e^-25
    }
  }
}

TEST(HeadStatistics, OfHeadsThatAreKnown) {
  // A sharp head leaves e^-25 a token to others, and scores are float32 of size 25: 2e-6 of them,
  // and with entropy 25 times that.
  constexpr double kTolerance = 1e-4;
  const HeadStatistics found = head_statistics(induction_model(), {kRepeating, {5, 2, 2}});
  EXPECT_EQ(found.queries, 11);
  const size_t previous = found.cell(0, 0), own = found.cell(0, 1), uniform = found.cell(2, 1);
  EXPECT_NEAR(found.previous_token[previous], 1, kTolerance);
  EXPECT_NEAR(found.distance[previous], 1, kTolerance);
  EXPECT_NEAR(found.entropy[previous], 0, kTolerance);
  EXPECT_NEAR(found.current_token[own], 1, kTolerance);
  EXPECT_NEAR(found.distance[own], 0, kTolerance);
  EXPECT_NEAR(found.first_token[previous], 2.0 / 11, kTolerance)
      << "where the first is the previous";
  double entropy = 0, distance = 0, share = 0;
  for (const int last : {9, 2}) {
    for (int i = 1; i <= last; ++i) {
      entropy += std::log(i + 1.0) / 11;
      distance += i / 2.0 / 11;
      share += 1 / (i + 1.0) / 11;
    }
  }
  EXPECT_NEAR(found.entropy[uniform], entropy, kTolerance);
  EXPECT_NEAR(found.distance[uniform], distance, kTolerance);
  EXPECT_NEAR(found.first_token[uniform], share, kTolerance);
  EXPECT_NEAR(found.current_token[uniform], share, kTolerance);
  EXPECT_NEAR(found.previous_token[uniform], share, kTolerance);
}

TEST(HeadStatistics, RepetitionFindsInductionAndDuplicateHeads) {
  for (const int32_t bos : {-1, 0}) {
    const RepetitionScores found =
        repetition_scores(induction_model(), {.sequences = 3, .bos = bos, .seed = 4});
    const int n = bos < 0 ? 6 : 5;  // what a context of 12 holds twice
    EXPECT_EQ(found.length, n);
    EXPECT_EQ(found.bos.has_value(), bos >= 0);
    // Without a first token the one at position 0 counts itself as its predecessor, so its second
    // occurrence sees two matches.
    EXPECT_NEAR(found.induction[found.cell(1, 0)], bos < 0 ? 1 - 0.5 / n : 1, 0.01);
    EXPECT_GT(found.duplicate_token[found.cell(2, 0)], 0.5) << "the rest goes to the token itself";
    EXPECT_NEAR(found.induction[found.cell(2, 0)], 0, 0.01);
    EXPECT_NEAR(found.duplicate_token[found.cell(0, 0)], 0, 0.01);
    double share = 0;
    for (int i = n; i < 2 * n; ++i) share += 1.0 / n / (i + 1 + (bos >= 0));
    EXPECT_NEAR(found.induction[found.cell(1, 1)], share, 1e-5)
        << "a head that attends to everything alike";
  }
}

TEST(HeadStatistics, RepetitionDependsOnItsSeedAlone) {
  const Model model = small_model();
  const auto once = repetition_scores(model, {.sequences = 2, .seed = 1}),
             again = repetition_scores(model, {.sequences = 2, .seed = 1});
  EXPECT_EQ(once.induction, again.induction);
  EXPECT_NE(once.induction, repetition_scores(model, {.sequences = 2, .seed = 2}).induction);
  const auto part =
      repetition_scores(model, {.layers = {-1}, .heads = {1}, .sequences = 2, .seed = 1});
  EXPECT_EQ(part.induction[0], once.induction[once.cell(2, 1)]);
}

TEST(Attention, RefusesWhatIsNotThere) {
  const Model model = small_model();
  const auto ids = some_ids(4);
  EXPECT_EQ(user_error_of([&] { attention(model, {}); }),
            "the text is empty: expected at least one token");
  EXPECT_EQ(user_error_of([&] { attention_rollout(model, {}); }),
            "the text is empty: expected at least one token");
  EXPECT_EQ(user_error_of([&] { attention(model, ids, {.layers = {3}}); }),
            "layer 3 is out of range: expected 0..2, the blocks of the model");
  EXPECT_EQ(user_error_of([&] { attention(model, ids, {.heads = {2}}); }),
            "head 2 is out of range: expected 0..1, the heads of a block");
  EXPECT_EQ(user_error_of([&] { attention_flow(model, ids, {.queries = {4}}); }),
            "position 4 is out of range: expected 0..3, the positions of the text");
  EXPECT_EQ(user_error_of([&] { attention_rollout(model, some_ids(13)); }),
            "the text has 13 tokens: expected at most 12, the model's context; shorten it");
  EXPECT_EQ(
      user_error_of([&] { attention_flow(model, ids, {.max_work = 50}); }),
      "the flows of 4 queries at 1 layers need 105 edges of work: expected at most 50; use fewer "
      "queries (the last one alone is 60), fewer layers, a shorter text, or raise `max_work`");
  EXPECT_NO_THROW(attention_flow(model, ids, {.queries = {-1}, .max_work = 60}));
  EXPECT_EQ(user_error_of([&] {
              head_statistics(model, {{1}, {2}});
            }),
            "2 texts of at most one token: expected a text of at least two tokens");
  EXPECT_EQ(user_error_of([&] { repetition_scores(model, {.sequences = 0}); }),
            "invalid number of random sequences 0: expected at least 1");
  EXPECT_EQ(user_error_of([&] { repetition_scores(model, {.length = 6, .bos = 0}); }),
            "6 repeated tokens are out of range: expected 1..5, since twice that and the first "
            "token must fit the context of 12 and all must differ");
}

}  // namespace
}  // namespace vitrine::testing
