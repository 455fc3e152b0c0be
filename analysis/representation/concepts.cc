// SPDX-License-Identifier: MIT
#include "vitrine/analysis/concepts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "analysis/common/text_runs.h"

namespace vitrine {
using namespace internal;
namespace {

using Vector = std::vector<double>;

/// The texts of one set at one site, a vector each.
using Texts = std::vector<Vector>;

Vector pooled(const SiteRows& rows) {
  Vector mean(rows.width);
  for (size_t i = 0; i < rows.values.size(); ++i) mean[i % rows.width] += rows.values[i];
  for (double& x : mean) x /= static_cast<double>(rows.rows);
  return mean;
}

/// [sites] of both sets, which run together.
std::vector<Texts> activations(const Model& model, const Batch& texts,
                               const std::vector<std::string>& sites,
                               const ConceptOptions& options) {
  Hooks hooks = options.edits.only_edits();
  Where where = options.where;
  if (options.pooling == ConceptPooling::kLast) where.positions = {-1};
  hooks.capture(options.site, where);
  check_edits_reach(hooks, model.config(), captured_sites(hooks, model.config()), "the concept");
  std::vector<Texts> found(sites.size());
  run_texts(model, texts, model.compile(hooks), options.batch_tokens, "the concept", true,
            [&](const TextBatch& batch) {
              for (size_t i = 0; i < sites.size(); ++i) {
                const size_t sequences = batch.captures.entry(sites[i]).sequences.size();
                for (size_t s = 0; s < sequences; ++s)
                  found[i].push_back(pooled(rows_of(batch.captures, sites[i], s)));
              }
              if (options.progress) options.progress->update(batch.done, batch.total, "Concept");
            });
  return found;
}

Vector mean_of(const Texts& texts) {
  Vector mean(texts[0].size());
  for (const Vector& x : texts) {
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += x[i];
  }
  for (double& x : mean) x /= static_cast<double>(texts.size());
  return mean;
}

/// Mean of the texts without one of them, given their mean `mean`.
Vector mean_without(const Vector& mean, const Texts& texts, size_t which) {
  if (which >= texts.size()) return mean;
  Vector rest(mean.size());
  for (size_t i = 0; i < mean.size(); ++i)
    rest[i] = mean[i] + (mean[i] - texts[which][i]) / static_cast<double>(texts.size() - 1);
  return rest;
}

double length_of(const Vector& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

/// The place of `x` between the means, from their midpoint, in the direction of `positive`.
double score_of(const Vector& x, const Vector& positive, const Vector& negative) {
  double along = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = positive[i] - negative[i];
    along += (x[i] - (positive[i] + negative[i]) / 2) * difference;
    size += difference * difference;
  }
  return along / std::sqrt(size);
}

double mean(const Vector& values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return sum / static_cast<double>(values.size());
}

double squares_around(const Vector& values, double middle) {
  double sum = 0;
  for (const double x : values) sum += (x - middle) * (x - middle);
  return sum;
}

double share_above(const Vector& values, double bound) {
  double count = 0;
  for (const double x : values) count += x > bound ? 1.0 : x == bound ? 0.5 : 0.0;
  return count / static_cast<double>(values.size());
}

void separate(ConceptDirection& found) {
  const Vector &p = found.positive_scores, &n = found.negative_scores;
  const auto is_nan = [](double x) { return std::isnan(x); };
  if (std::any_of(p.begin(), p.end(), is_nan) || std::any_of(n.begin(), n.end(), is_nan)) {
    found.cohens_d = found.auc = found.accuracy = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  const double p_mean = mean(p), n_mean = mean(n);
  const double pooled = (squares_around(p, p_mean) + squares_around(n, n_mean)) /
                        static_cast<double>(p.size() + n.size() - 2);
  found.cohens_d = (p_mean - n_mean) / std::sqrt(pooled);
  found.auc = 0;
  for (const double x : n) found.auc += share_above(p, x) / static_cast<double>(n.size());
  found.accuracy = (share_above(p, 0) + 1 - share_above(n, 0)) / 2;
}

ConceptDirection direction_at(const std::string& site, const Texts& positive,
                              const Texts& negative) {
  ConceptDirection found;
  found.site = site;
  const Vector p_mean = mean_of(positive), n_mean = mean_of(negative);
  for (size_t i = 0; i < p_mean.size(); ++i) found.direction.push_back(p_mean[i] - n_mean[i]);
  found.norm = length_of(found.direction);
  double squares = 0;
  for (const Texts* set : {&positive, &negative}) {
    for (const Vector& x : *set) squares += length_of(x) * length_of(x);
  }
  found.activation_norm =
      std::sqrt(squares / static_cast<double>(positive.size() + negative.size()));
  for (size_t i = 0; i < std::max(positive.size(), negative.size()); ++i) {
    const Vector p_rest = mean_without(p_mean, positive, i),
                 n_rest = mean_without(n_mean, negative, i);
    if (i < positive.size()) found.positive_scores.push_back(score_of(positive[i], p_rest, n_rest));
    if (i < negative.size()) found.negative_scores.push_back(score_of(negative[i], p_rest, n_rest));
  }
  separate(found);
  return found;
}

void check_set(const Config& config, const Batch& texts, std::string_view name) {
  if (texts.size() < 2)
    user_error("{} {} prompts: expected at least 2, because one is held out", texts.size(), name);
  check_texts(config, texts);
}

}  // namespace

std::string_view concept_pooling_name(ConceptPooling pooling) {
  return pooling == ConceptPooling::kMean ? "mean" : "last";
}

ConceptPooling concept_pooling_from_name(std::string_view name) {
  for (const ConceptPooling pooling : {ConceptPooling::kLast, ConceptPooling::kMean}) {
    if (name == concept_pooling_name(pooling)) return pooling;
  }
  user_error("unknown pooling '{}': expected last or mean", name);
}

std::vector<ConceptDirection> concept_directions(const Model& model, const Batch& positive,
                                                 const Batch& negative,
                                                 const ConceptOptions& options) {
  check_set(model.config(), positive, "positive");
  check_set(model.config(), negative, "negative");
  if (!options.where.positions.empty())
    user_error("invalid selection of positions for '{}': pooling (last or mean) determines them",
               options.site);
  const std::vector<std::string> sites = row_sites(model.config(), options.site, options.where);
  Batch texts = positive;
  texts.insert(texts.end(), negative.begin(), negative.end());
  const std::vector<Texts> all = activations(model, texts, sites, options);
  std::vector<ConceptDirection> found;
  for (size_t i = 0; i < sites.size(); ++i) {
    const auto middle = all[i].begin() + std::ssize(positive);
    found.push_back(
        direction_at(sites[i], Texts(all[i].begin(), middle), Texts(middle, all[i].end())));
  }
  return found;
}

}  // namespace vitrine
