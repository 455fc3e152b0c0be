// SPDX-License-Identifier: MIT
// Medians, and how sure they are.

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/common/random_draws.h"
#include "analysis/predictivity/stages.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double percentile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const double low = sorted[below], high = sorted[std::min(below + 1, sorted.size() - 1)];
  return low + (high - low) * (at - static_cast<double>(below));
}

}  // namespace

double internal::median(std::vector<double> numbers) {
  if (numbers.empty()) return kNaN;
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  if (numbers.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(numbers.begin(), middle)) / 2;
}

std::vector<double> internal::subject_medians(std::span<const double> neuroids,
                                              const SubjectNeuroids& subjects) {
  std::vector<double> medians;
  for (const std::vector<size_t>& subject : subjects) {
    std::vector<double> numbers;
    for (const size_t q : subject) numbers.push_back(neuroids[q]);
    medians.push_back(median(std::move(numbers)));
  }
  return medians;
}

std::vector<double> internal::bootstrap_scores(std::span<const double> neuroids,
                                               const SubjectNeuroids& subjects, int bootstraps,
                                               uint64_t seed) {
  std::vector<const std::vector<size_t>*> some;  // those who have neuroids
  for (const std::vector<size_t>& subject : subjects) {
    if (!subject.empty()) some.push_back(&subject);
  }
  std::vector<double> scores;
  for (int draw = 0; draw < bootstraps && !some.empty(); ++draw) {
    Dice dice(mix64(mix64(seed) + static_cast<uint64_t>(draw)));
    std::vector<double> medians;
    for (size_t s = 0; s < some.size(); ++s) {
      const std::vector<size_t>& subject = *some[dice.index(some.size())];
      std::vector<double> numbers;
      for (size_t q = 0; q < subject.size(); ++q)
        numbers.push_back(neuroids[subject[dice.index(subject.size())]]);
      medians.push_back(median(std::move(numbers)));
    }
    scores.push_back(median(std::move(medians)));
  }
  return scores;
}

Interval internal::interval_of(std::vector<double> numbers) {
  if (numbers.empty()) return {kNaN, kNaN};
  std::sort(numbers.begin(), numbers.end());
  return {percentile(numbers, 0.025), percentile(numbers, 0.975)};
}

}  // namespace vitrine
