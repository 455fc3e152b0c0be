// SPDX-License-Identifier: MIT
#include "vitrine/analysis/predictivity.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "analysis/common/options.h"
#include "analysis/predictivity/stages.h"
#include "base/quote.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int kMostBootstraps = 1000000;

void check_values(const Responses& responses, const std::vector<std::string>& names) {
  const auto check = [&](const auto* values) {
    for (int64_t i = 0; i < responses.values.elements(); ++i) {
      if (std::isfinite(values[i])) continue;
      const int64_t neuroids = responses.values.shape()[1];
      user_error(
          "the response of neuroid {} to stimulus {} is {}: expected a finite number; leave out "
          "such neuroids or stimuli",
          quote(names[static_cast<size_t>(i % neuroids)]), i / neuroids + 1, values[i]);
    }
  };
  const void* data = responses.values.data();
  if (responses.values.dtype() == DType::kF32) return check(static_cast<const float*>(data));
  if (responses.values.dtype() == DType::kF64) return check(static_cast<const double*>(data));
  user_error("the responses are {}: expected f32 or f64", dtype_name(responses.values.dtype()));
}

/// Everything that does not depend on the features.
class Study {
 public:
  Study(const Stimuli& stimuli, const Responses& responses, const PredictivityOptions& options)
      : stimuli_(stimuli), responses_(responses), options_(options) {
    check_stimuli(stimuli);
    check_responses();
    result.stimuli = static_cast<int64_t>(stimuli.ids.size());
    result.groups = static_cast<int64_t>(
        std::set<std::string_view>(stimuli.groups.begin(), stimuli.groups.end()).size());
    result.neuroids = responses.values.shape()[1];
    result.ceiled = !responses.ceilings.empty();
    result.folds = make_folds(stimuli.groups, options.folds, options.fold_kind, options.seed);
  }

  /// Cross-validates one set of features.
  PredictivityScore score(const std::string& name, int layer, const Tensor& features) {
    const CrossValidation found = cross_validate(features, responses_.values, result.folds,
                                                 options_.regression, [&] { step(); });
    PredictivityScore score{.name = name,
                            .layer = layer,
                            .features = features.shape()[1],
                            .neuroids = found.scores(),
                            .alphas = found.alphas};
    if (taking_part_.empty()) sort_neuroids(score.neuroids);
    score.r = median_over(subject_medians(score.neuroids, taking_part_));
    score.subjects = subject_medians(over_ceilings(score.neuroids), taking_part_);
    score.score = median_over(score.subjects);
    score.interval = interval_of(draws(score));
    return score;
  }

  /// The score's bootstrap draws. All features have the same, draw by draw.
  std::vector<double> draws(const PredictivityScore& score) const {
    return bootstrap_scores(over_ceilings(score.neuroids), taking_part_, options_.bootstraps,
                            options_.seed);
  }

  void expect(uint64_t regressions) { total_ = regressions; }

  Predictivity result;

 private:
  void check_responses() {
    const Tensor& values = responses_.values;
    const auto stimuli = static_cast<int64_t>(stimuli_.ids.size());
    if (values.shape().rank() != 2) {
      user_error("the responses have shape {}: expected two axes, [stimuli, neuroids]",
                 values.shape().to_string());
    }
    if (values.shape()[0] != stimuli) {
      user_error(
          "{} stimuli and {} rows of responses: expected one row per stimulus, in the same order{}",
          stimuli, values.shape()[0],
          values.shape()[1] == stimuli ? "; there are as many columns: transpose them" : "");
    }
    const auto neuroids = static_cast<size_t>(values.shape()[1]);
    if (neuroids == 0) user_error("the responses have no neuroids: expected at least one column");
    const auto check_count = [&](size_t count, std::string_view what) {
      if (count != 0 && count != neuroids)
        user_error("{} neuroids have {} {}: expected one per neuroid", neuroids, count, what);
    };
    check_count(responses_.neuroids.size(), "names");
    check_count(responses_.subjects.size(), "subjects");
    if (responses_.ceilings.size() != 1) check_count(responses_.ceilings.size(), "ceilings");
    result.neuroid_names = responses_.neuroids;
    for (size_t q = result.neuroid_names.size(); q < neuroids; ++q)
      result.neuroid_names.push_back(std::to_string(q));
    result.neuroid_subjects = responses_.subjects;
    if (result.neuroid_subjects.empty()) result.neuroid_subjects.assign(neuroids, "");
    for (const std::string& subject : result.neuroid_subjects) {
      if (std::find(result.subjects.begin(), result.subjects.end(), subject) ==
          result.subjects.end())
        result.subjects.push_back(subject);
    }
    check_values(responses_, result.neuroid_names);
    for (size_t q = 0; q < responses_.ceilings.size(); ++q) {
      if (const double c = responses_.ceilings[q]; !(c > 0 && std::isfinite(c))) {
        user_error(
            "the ceiling {} of neuroid {} is out of range: expected > 0; leave the neuroid out", c,
            quote(result.neuroid_names[q]));
      }
    }
  }

  /// Which neuroids have an r depends on the responses and folds alone, so the first features tell
  /// it for all.
  void sort_neuroids(const std::vector<double>& r) {
    taking_part_.resize(result.subjects.size());
    for (size_t q = 0; q < r.size(); ++q) {
      if (std::isnan(r[q])) {
        result.constant.push_back(static_cast<int64_t>(q));
        continue;
      }
      const auto subject =
          std::find(result.subjects.begin(), result.subjects.end(), result.neuroid_subjects[q]);
      taking_part_[static_cast<size_t>(subject - result.subjects.begin())].push_back(q);
    }
    if (result.constant.size() == r.size()) {
      user_error(
          "no neuroid has a score: the responses of all {} are constant in at least one fold; use "
          "fewer `folds` or other responses",
          r.size());
    }
  }

  std::vector<double> over_ceilings(std::vector<double> r) const {
    for (size_t q = 0; q < r.size() && !responses_.ceilings.empty(); ++q)
      r[q] /= responses_.ceilings[responses_.ceilings.size() == 1 ? 0 : q];
    return r;
  }

  static double median_over(std::vector<double> subjects) {
    std::erase_if(subjects, [](double x) {
      return std::isnan(x);
    });  // subjects without a neuroid that has an r
    return median(std::move(subjects));
  }

  void step() {
    if (options_.progress) options_.progress->update(++done_, total_, "Regressions");
  }

  const Stimuli& stimuli_;
  const Responses& responses_;
  const PredictivityOptions& options_;
  SubjectNeuroids taking_part_;
  uint64_t done_ = 0, total_ = 0;
};

std::vector<PredictivityScore> site_scores(const Model& model, const Stimuli& stimuli,
                                           const PredictivityOptions& options, Study& study) {
  FeatureOptions wanted = options.features;
  if (!wanted.progress) wanted.progress = options.progress;
  const FeatureSet features = stimulus_features(model, stimuli, wanted);
  const auto models = 1 + options.control_seeds.size();
  study.expect((models * features.sites.size() + 1) * static_cast<uint64_t>(options.folds));
  study.result.cut = features.cut;
  std::vector<PredictivityScore> scores;
  for (const StimulusFeatures& site : features.sites)
    scores.push_back(study.score(site.site, site.layer, site.values));
  return scores;
}

PredictivityScore baseline_score(const Stimuli& stimuli, Study& study) {
  const std::vector<StimulusPlace> places = stimulus_places(stimuli);
  std::vector<float> rows;
  for (size_t i = 0; i < places.size(); ++i) {
    rows.push_back(static_cast<float>(stimuli.ids[i].size()));
    rows.push_back(static_cast<float>(places[i].order));
    rows.push_back(static_cast<float>(places[i].tokens));
  }
  return study.score("length and place", 0,
                     Tensor::from(rows, {static_cast<int64_t>(places.size()), 3}));
}

void subtract(std::vector<double>& from, const std::vector<double>& numbers) {
  std::ranges::transform(from, numbers, from.begin(), std::minus());
}

PredictivityControl control_of(const PredictivityScore& site,
                               const std::vector<const PredictivityScore*>& untrained,
                               const Study& study) {
  PredictivityControl control;
  std::vector<double> advantage = study.draws(site), mean(advantage.size(), 0.0);
  const auto seeds = static_cast<double>(untrained.size());
  for (const PredictivityScore* one : untrained) {
    control.scores.push_back(one->score);
    control.score += one->score / seeds;
    const std::vector<double> draws = study.draws(*one);
    for (size_t i = 0; i < draws.size(); ++i) mean[i] += draws[i] / seeds;
  }
  subtract(advantage, mean);
  control.interval = interval_of(std::move(mean));
  control.advantage = site.score - control.score;
  control.advantage_interval = interval_of(std::move(advantage));
  return control;
}

/// Compares scores with the best site's, draw by draw.
void compare_with_best(const Study& study, const PredictivityScore& best,
                       const std::vector<PredictivityScore*>& scores) {
  const std::vector<double> draws_of_best = study.draws(best);
  for (PredictivityScore* score : scores) {
    score->below_best = best.score - score->score;
    std::vector<double> differences = draws_of_best;
    subtract(differences, study.draws(*score));
    score->below_best_interval = interval_of(std::move(differences));
  }
}

}  // namespace

Predictivity predictivity(const Model& model, const Stimuli& stimuli, const Responses& responses,
                          const PredictivityOptions& options) {
  if (options.bootstraps < 0 || options.bootstraps > kMostBootstraps) {
    user_error("invalid number of bootstrap draws {}: expected 0..{}", options.bootstraps,
               kMostBootstraps);
  }
  Study study(stimuli, responses, options);
  study.result.sites = site_scores(model, stimuli, options, study);
  std::vector<std::vector<PredictivityScore>> untrained;
  for (const uint64_t seed : options.control_seeds) {
    untrained.push_back(site_scores(Model::random(model.config(), seed, options.control_model),
                                    stimuli, options, study));
  }
  study.result.baseline = baseline_score(stimuli, study);
  std::vector<PredictivityScore>& sites = study.result.sites;
  for (size_t i = 0; i < sites.size() && !untrained.empty(); ++i) {
    std::vector<const PredictivityScore*> same;
    for (const auto& one : untrained) same.push_back(&one[i]);
    study.result.controls.push_back(control_of(sites[i], same, study));
  }
  const auto best = std::max_element(
      sites.begin(), sites.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
  study.result.best = static_cast<size_t>(best - sites.begin());
  std::vector<PredictivityScore*> compared = {&study.result.baseline};
  for (PredictivityScore& site : sites) compared.push_back(&site);
  compare_with_best(study, *best, compared);
  return std::move(study.result);
}

}  // namespace vitrine
