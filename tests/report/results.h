// SPDX-License-Identifier: MIT
#pragma once

#include "support.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/analysis/score.h"
#include "vitrine/analysis/similarity.h"
#include "vitrine/model.h"

namespace vitrine::testing {
using namespace internal;

// Results as the analyses make them, of made-up numbers. Ids are of demo_source()'s vocabulary.

/// Three series: `up` and `down` go opposite ways, `flat` never changes; their covariance by a
/// plain loop.
struct MadeUpCovariance {
  std::vector<double> series;  ///< [3, observations]
  Covariance covariance;

  explicit MadeUpCovariance(int64_t observations) {
    Numbers numbers(11);
    const auto n = static_cast<size_t>(observations);
    series.assign(3 * n, 0.125);  // whose mean is exactly that
    for (size_t o = 0; o < n; ++o) {
      series[o] = numbers.next();
      series[n + o] = 5 - 2 * series[o] + 0.1 * numbers.next();
    }
    covariance = {.variables = 3,
                  .observations = observations,
                  .ddof = 1,
                  .weight = static_cast<double>(observations),
                  .divisor = static_cast<double>(observations - 1),
                  .mean = std::vector<double>(3),
                  .values = std::vector<double>(9)};
    for (size_t i = 0; i < 3; ++i) {
      for (size_t o = 0; o < n; ++o) covariance.mean[i] += series[i * n + o];
      covariance.mean[i] /= covariance.weight;
    }
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = 0; j < 3; ++j) {
        for (size_t o = 0; o < n; ++o) {
          covariance.values[3 * i + j] += (series[i * n + o] - covariance.mean[i]) *
                                          (series[j * n + o] - covariance.mean[j]) /
                                          covariance.divisor;
        }
      }
    }
  }
  CovarianceView view() const {
    return {.covariance = &covariance,
            .title = "series.csv",
            .names = {"up", "down</script>", "flat"},
            .series = {series, 3, covariance.observations}};
  }
};

inline const std::vector<int32_t>& six_ids() {
  static const std::vector<int32_t> kIds = {10, 14, 0, 4, 10, 5};
  return kIds;
}

/// Two layers of two heads.
inline AttentionMaps made_up_maps() {
  const Model model =
      Model::random({.layers = 2, .heads = 2, .width = 8, .inner = 16, .vocab = 17, .context = 16},
                    4, {.threads = 1});
  return attention(model, six_ids());
}

inline AttentionRelevance made_up_rollout(std::vector<int> layers, std::vector<int64_t> queries) {
  AttentionRelevance found{
      .ids = six_ids(), .layers = std::move(layers), .queries = std::move(queries), .values = {}};
  Numbers numbers(5);
  for (size_t l = 0; l < found.layers.size(); ++l) {
    for (const int64_t query : found.queries) {
      for (int64_t key = 0; key < 6; ++key)
        found.values.push_back(key <= query ? numbers.next() : 0);
    }
  }
  return found;
}

/// Two tokens and two blocks. One edge is too thin to be drawn.
inline AttentionRelevance made_up_flow() {
  return {.ids = {10, 14},
          .layers = {1},
          .queries = {0, 1},
          .values = {1, 0, 0.25, 0.75},
          .capacities = {1, 0, 0.25, 0.75, 1, 0, 0.005, 0.995}};
}

inline HeadStatistics made_up_statistics() {
  HeadStatistics found{.layers = {0, 1},
                       .heads = {0, 1},
                       .queries = 5,
                       .entropy = {1, 0.5, 0.25, 0.75},
                       .distance = {1, 2, 3, 4},
                       .current_token = {},
                       .previous_token = {},
                       .first_token = {}};
  found.current_token = {0.5, 0.25, 0.125, 0.75};
  found.previous_token = {0.25, 0.5, 0.0625, 0.125};
  found.first_token = {0.125, 0.25, 0.8125, 0.1};
  return found;
}

/// Three sites of two subjects with two neuroids each, one of which has no r.
inline Predictivity made_up_predictivity() {
  Predictivity found{.stimuli = 20,
                     .groups = 4,
                     .neuroids = 4,
                     .subjects = {"S1", "S<2>"},
                     .neuroid_names = {"v0", "v1", "v2", "v3"},
                     .neuroid_subjects = {"S1", "S1", "S<2>", "S<2>"},
                     .folds = {},
                     .ceiled = true,
                     .sites = {},
                     .controls = {},
                     .baseline = {},
                     .best = 1,
                     .constant = {3}};
  const auto score = [](const char* name, int layer, double value, Interval below_best) {
    return PredictivityScore{.name = name,
                             .layer = layer,
                             .features = 8,
                             .r = value / 2,
                             .score = value,
                             .interval = {value - 0.125, value + 0.0625},
                             .subjects = {value, value - 0.25},
                             .neuroids = {value / 2, value / 4, value / 8, std::nan("")},
                             .below_best = 0.75 - value,
                             .below_best_interval = below_best};
  };
  found.sites = {score("blocks.0.hook_resid_pre", 0, 0.25, {0.0625, 0.75}),
                 score("blocks.0.hook_resid_post", 0, 0.75, {0, 0}),
                 score("blocks.1.hook_resid_post", 1, 0.5, {-0.125, 0.5})};
  for (int i = 0; i < 3; ++i)
    found.controls.push_back({.score = 0.125,
                              .scores = {0.125},
                              .interval = {0, 0.25},
                              .advantage = found.sites[static_cast<size_t>(i)].score - 0.125,
                              .advantage_interval = {0.0625, 0.5}});
  found.baseline = score("baseline", 0, 0.0625, {0.5, 0.875});
  return found;
}

/// Two components over two texts, neurons of blocks 1 and 3.
inline Factors made_up_factors() {
  Factors found{.texts = {{10, 14, 0, 4}, {10, 5}},
                .layers = {1, 3},
                .tokens = 6,
                .inner = 4,
                .components = 2,
                .strengths = {0.5, 0, 2, 0, 1, 0, 0, 0.25, 0, 0.75, 0, 0.125},
                .neurons = std::vector<double>(16),
                .relative_residual = 0.25,
                .iterations = 7,
                .converged = true};
  found.neurons[5] = 0.8;  // component 0: block 3, neuron 1
  found.neurons[2] = 0.6;  // and block 1, neuron 2
  found.neurons[8] = 1;    // component 1: block 1, neuron 0
  return found;
}

inline Similarity made_up_similarity() {
  return {.measure = SimilarityMeasure::kCka,
          .tokens = 100,
          .passes = 1,
          .rows = {"blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"},
          .columns = {"blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"},
          .values = {1, 0.25, 0.375, std::nan("")},
          .row_components = {},
          .column_components = {}};
}

/// Three positive and two negative prompts at three sites: nothing is told apart at the first, most
/// at the second, and the third has no scores.
inline std::vector<ConceptDirection> made_up_directions() {
  const double none = std::nan("");
  return {{.site = "blocks.0.hook_resid_pre",
           .direction = {1, 0, 0, 0},
           .norm = 1,
           .activation_norm = 10,
           .positive_scores = {1, -2, 0.5},
           .negative_scores = {1, -1},
           .cohens_d = -0.125,
           .auc = 0.5,
           .accuracy = 0.625},
          {.site = "blocks.0.hook_resid_post",
           .direction = {0, 0, 0, -2},
           .norm = 2,
           .activation_norm = 10,
           .positive_scores = {2, -0.5, 3},
           .negative_scores = {-1, 0},
           .cohens_d = 1.25,
           .auc = 0.875,
           .accuracy = 0.75},
          {.site = "blocks.1.hook_resid_post",
           .direction = {3, 0, 0, -4},
           .norm = 5,
           .activation_norm = 10,
           .positive_scores = {none, none, none},
           .negative_scores = {none, none},
           .cohens_d = none,
           .auc = none,
           .accuracy = none}};
}

inline ConceptSubject made_up_subject() {
  return {
      .positive = {{10, 14}, {0, 4, 5}, {10}},
      .negative = {{14}, {4, 0}},
      .note = "[neurons=0..3]",
      .steering = {"vitrine generate --edit zeroth", "vitrine generate --prompt '<b>' --edit first",
                   "vitrine generate --edit second"}};
}

/// Spans and deletion, three draws each.
inline Noise made_up_noise() {
  Noise found{.ids = six_ids(),
              .continuation = {4},
              .own_choice = true,
              .words = 5,
              .sentences = 1,
              .budget = 1,
              .log_prob = -1,
              .rank = 2};
  for (const NoiseKind kind : {NoiseKind::kSpans, NoiseKind::kTokenDeletion}) {
    NoiseEffect effect{.kind = kind};
    const bool masks = kind == NoiseKind::kSpans;
    for (int r = 0; r < 3; ++r) {
      NoisedPrompt prompt{.ids = six_ids(), .sources = {0, 1, 2, 3, 4, 5}};
      if (masks) {
        prompt.ids[static_cast<size_t>(r)] = -1;
        prompt.sources[static_cast<size_t>(r)] = -1;
      } else {
        prompt.ids.erase(prompt.ids.begin() + r);
        prompt.sources.erase(prompt.sources.begin() + r);
      }
      effect.prompts.push_back(prompt);
      effect.masked.push_back(1);
      effect.log_probs.push_back(-1.5 - r - (masks ? 0 : 0.25));
      effect.ranks.push_back(3 + r);
    }
    effect.log_prob_change = {masks ? -1.5 : -1.75, 0.5};
    effect.rank = {4, 0.5};
    effect.cosine = {{1, 0}, {0.75, 0.125}};
    effect.cka = {{1, 0}, {0.5, 0.0625}};
    effect.cosines = {1, 0.5, 1, 0.75, 1, 1};
    effect.ckas = {1, 0.25, 1, 0.5, 1, 0.75};
    found.effects.push_back(effect);
  }
  found.spans_less_scattered = Estimate{0.25, 0.125};
  return found;
}

/// Five tokens after the first of six_ids(), in two words.
inline WordScores made_up_words() {
  WordScores scores;
  scores.boundary = WordBoundary::kTrailing;
  scores.tokens.window = 16;
  scores.tokens.stride = 8;
  Numbers numbers(9);
  for (int64_t i = 1; i < 6; ++i) {
    scores.tokens.tokens.push_back({.position = i,
                                    .id = six_ids()[static_cast<size_t>(i)],
                                    .context = i,
                                    .loss = 4 * numbers.next(),
                                    .entropy = 2 * numbers.next(),
                                    .rank = static_cast<int32_t>(i),
                                    .top_id = 14,
                                    .top_loss = numbers.next()});
  }
  scores.tokens.tokens[2].loss = 9;
  const auto loss = [&](size_t i) { return scores.tokens.tokens[i].loss; };
  scores.words = {{.text = "<first>", .first = 0, .tokens = 2},
                  {.text = "second",
                   .begin = 8,
                   .end = 14,
                   .first = 2,
                   .tokens = 4,
                   .surprisal = loss(1) + loss(2) + loss(3) + loss(4),
                   .context = 2}};
  return scores;
}

/// Four tokens generated after two.
inline Lens made_up_rankings() {
  Lens lens = made_up_lens(3, 6, 2, 0, 17);
  lens.positions = {1, 2, 3, 4};
  lens.targets = {lens.ids[2], lens.ids[3], lens.ids[4], lens.ids[5]};
  const auto keep = [](auto& values, size_t per) { values.resize(3 * 4 * per); };
  keep(lens.top_ids, 2);
  keep(lens.top_log_probs, 2);
  keep(lens.target_ranks, 1);
  keep(lens.target_log_probs, 1);
  keep(lens.entropies, 1);
  return lens;
}

}  // namespace vitrine::testing
