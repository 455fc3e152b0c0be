// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "vitrine/analysis/predictivity.h"

namespace vitrine::internal {

/// As the public one; `fold_done` is called after each fold.
CrossValidation cross_validate(const TensorView& features, const TensorView& responses,
                               std::span<const int32_t> folds, const RegressionOptions& options,
                               const std::function<void()>& fold_done);

/// Position of a stimulus in its group.
struct StimulusPlace {
  int64_t order = 0;   ///< stimuli of its group before it
  int64_t tokens = 0;  ///< and their tokens
};
/// [N]
std::vector<StimulusPlace> stimulus_places(const Stimuli& stimuli);

/// Throws Error (user) unless there is a group for each stimulus, tokens in each, and one at least.
void check_stimuli(const Stimuli& stimuli);

/// A median; NaN without numbers. The mean of the two in the middle of an even number.
double median(std::vector<double> numbers);

/// Neuroids by subject: those that take part.
using SubjectNeuroids = std::vector<std::vector<size_t>>;

/// [S] the median of each subject's neuroids.
std::vector<double> subject_medians(std::span<const double> neuroids,
                                    const SubjectNeuroids& subjects);

/// The median over subjects of the median over neuroids, in `bootstraps` draws of subjects and, in
/// each of them, of neuroids, with replacement; one subject is always drawn. A function of the seed
/// and the draw alone, so that what is computed from several sets of scores can be compared draw by
/// draw.
std::vector<double> bootstrap_scores(std::span<const double> neuroids,
                                     const SubjectNeuroids& subjects, int bootstraps,
                                     uint64_t seed);

/// From the 2.5th to the 97.5th percentile, by linear interpolation (NumPy's default); NaN without
/// numbers.
Interval interval_of(std::vector<double> numbers);

}  // namespace vitrine::internal
