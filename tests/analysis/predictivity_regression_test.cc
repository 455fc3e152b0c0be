// SPDX-License-Identifier: MIT
// Regressions and folds, against tools/make_predictivity_goldens.py (scikit-learn) and against what
// they promise.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/json.h"
#include "base/random.h"
#include "support.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine::testing {
using namespace internal;
namespace {

Tensor doubles(const std::vector<double>& values, const Shape& shape) {
  Tensor tensor(DType::kF64, shape);
  std::copy(values.begin(), values.end(), static_cast<double*>(tensor.data()));
  return tensor;
}

Tensor matrix_from(const Json& rows) {
  std::vector<double> values;
  for (const Json& row : rows) {
    for (const Json& x : row) values.push_back(x);
  }
  const auto count = static_cast<int64_t>(rows.size());
  return doubles(values, {count, static_cast<int64_t>(values.size()) / count});
}

std::span<const double> numbers(const Tensor& tensor) {
  return {static_cast<const double*>(tensor.data()), static_cast<size_t>(tensor.elements())};
}

Tensor random_matrix(int64_t rows, int64_t columns, uint64_t seed) {
  std::vector<double> values;
  for (int64_t i = 0; i < rows * columns; ++i)
    values.push_back(standard_normal(mix64(seed), static_cast<uint64_t>(i)));
  return doubles(values, {rows, columns});
}

RegressionOptions options_named(const std::string& name) {
  if (name == "ols") return {.method = Regression::kOls};
  return {.choice = alpha_choice_from_name(name)};
}

Tensor times(const Tensor& tensor, double factor) {
  std::vector<double> values(numbers(tensor).begin(), numbers(tensor).end());
  for (double& value : values) value *= factor;
  return doubles(values, tensor.shape());
}

TEST(PredictivityRegression, DoesNotDependOnTheScaleOfResponsesOrFeatures) {
  const Tensor x = random_matrix(24, 5, 1), y = random_matrix(24, 3, 2),
               test = random_matrix(4, 5, 3);
  std::vector<int32_t> folds(24);
  for (size_t i = 0; i < folds.size(); ++i) folds[i] = static_cast<int32_t>(i % 3);
  for (const char* name : {"gcv", "loo", "ols"}) {
    const RegressionOptions options = options_named(name);
    const CrossValidation plain = cross_validate(x, y, folds, options);
    const RegressionResult wanted = regress(x, y, test, options);
    for (const double factor : {0x1p990, 0x1p-990, 0x1p600, 0x1p-600}) {
      const CrossValidation scaled = cross_validate(x, times(y, factor), folds, options);
      EXPECT_EQ(scaled.r, plain.r) << name << " " << factor;
      EXPECT_EQ(scaled.alphas, plain.alphas);
      EXPECT_EQ(cross_validate(times(x, factor), y, folds, options).r, plain.r)
          << name << " " << factor;
      const RegressionResult found =
          regress(times(x, factor), times(y, factor), times(test, factor), options);
      EXPECT_TRUE(std::ranges::equal(numbers(found.predictions),
                                     numbers(times(wanted.predictions, factor))));
    }
  }
}

TEST(Predictivity, RepeatedStimuliAreFoundAcrossParts) {
  const std::vector<std::string> texts = {"A", "B", " A\n", "B", "C"},
                                 groups = {"g", "h", "i", "h", "g"};
  EXPECT_EQ(repeated_stimuli(texts, groups), (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(repeated_stimuli(texts, std::vector<std::string>(5, "one")), std::vector<int64_t>{});
  EXPECT_EQ(user_error_of([&] { repeated_stimuli(texts, std::vector<std::string>(2)); }),
            "5 texts have 2 groups or folds: expected one per text");
}

/// Rows in (or out of) a fold.
Tensor rows_of(const Tensor& all, const std::vector<int32_t>& folds, int32_t fold, bool held_out) {
  std::vector<double> values;
  const auto width = static_cast<size_t>(all.shape()[1]);
  for (size_t i = 0; i < folds.size(); ++i) {
    if ((folds[i] == fold) != held_out) continue;
    const auto row = numbers(all).subspan(i * width, width);
    values.insert(values.end(), row.begin(), row.end());
  }
  return doubles(values, {static_cast<int64_t>(values.size() / width), all.shape()[1]});
}

void expect_case(const Json& wanted, const std::string& method) {
  SCOPED_TRACE(wanted["name"].get<std::string>() + ", " + method);
  const Tensor x = matrix_from(wanted["features"]), y = matrix_from(wanted["responses"]);
  const auto folds = wanted["folds"].get<std::vector<int32_t>>();
  const Json& results = wanted["results"][method];
  const auto found = cross_validate(x, y, folds, options_named(method));
  EXPECT_EQ(found.alphas, results["alphas"].get<std::vector<double>>());
  const auto r = results["r"].get<std::vector<double>>();
  ASSERT_EQ(found.r.size(), r.size());
  // Both sides compute in double precision; the worst conditioned of these matrices amplifies 1e-16
  // by some 1e4.
  constexpr double kTolerance = 1e-10;
  for (size_t i = 0; i < r.size(); ++i) EXPECT_NEAR(found.r[i], r[i], kTolerance);
  const auto width = static_cast<size_t>(y.shape()[1]);
  for (int32_t fold = 0; fold < found.folds; ++fold) {
    const auto fit = regress(rows_of(x, folds, fold, false), rows_of(y, folds, fold, false),
                             rows_of(x, folds, fold, true), options_named(method));
    size_t row = 0;
    for (size_t i = 0; i < folds.size(); ++i) {
      if (folds[i] != fold) continue;
      for (size_t q = 0; q < width; ++q) {
        EXPECT_NEAR(numbers(fit.predictions)[row * width + q],
                    results["predictions"][i][q].get<double>(), 1e-9);
      }
      ++row;
    }
  }
}

TEST(PredictivityRegression, EqualsScikitLearns) {
  const auto path = std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" / "goldens" /
                    "predictivity.json";
  for (const Json& wanted : read_json(path)) {
    for (const char* method : {"ols", "loo", "gcv"}) expect_case(wanted, method);
  }
}

TEST(PredictivityRegression, ChoosesAmongTheAlphasThatAreOffered) {
  const Tensor x = random_matrix(20, 4, 1), y = random_matrix(20, 3, 2);
  for (const AlphaChoice choice : {AlphaChoice::kGcv, AlphaChoice::kLoo}) {
    const auto found = regress(x, y, x, {.alphas = {7.0}, .choice = choice});
    EXPECT_EQ(found.alphas, (std::vector<double>(3, 7.0)));
    const auto strong = regress(x, y, x, {.alphas = {1e12}, .choice = choice});
    for (size_t q = 0; q < 3; ++q) {
      double mean = 0;
      for (size_t i = 0; i < 20; ++i) mean += numbers(y)[i * 3 + q] / 20;
      EXPECT_NEAR(numbers(strong.predictions)[q], mean, 1e-9)
          << "the penalty is not on the intercept";
    }
  }
}

TEST(PredictivityRegression, RidgeDoesNotDependOnTheUnitsOfAFeature) {
  const Tensor x = random_matrix(20, 4, 1), y = random_matrix(20, 2, 2);
  Tensor scaled = doubles({numbers(x).begin(), numbers(x).end()}, x.shape());
  for (int64_t i = 0; i < 20; ++i)
    static_cast<double*>(scaled.data())[i * 4 + 1] =
        numbers(x)[static_cast<size_t>(i) * 4 + 1] * 1000 - 5;
  const auto one = regress(x, y, x), other = regress(scaled, y, scaled);
  for (size_t i = 0; i < 40; ++i)
    EXPECT_NEAR(numbers(one.predictions)[i], numbers(other.predictions)[i], 1e-9);
}

TEST(PredictivityRegression, WhatCannotBeTold) {
  const Tensor x = random_matrix(12, 3, 1);
  std::vector<double> y(36);
  std::vector<int32_t> folds(12);
  for (size_t i = 0; i < 12; ++i) {
    folds[i] = static_cast<int32_t>(i / 4);
    y[i * 3] = numbers(x)[i * 3];                    // the first feature
    y[i * 3 + 1] = 0.1;                              // nothing
    y[i * 3 + 2] = i < 4 ? 0.1 : numbers(x)[i * 3];  // nothing in fold 0
  }
  const auto found = cross_validate(x, doubles(y, {12, 3}), folds, {.method = Regression::kOls});
  for (size_t fold = 0; fold < 3; ++fold) {
    EXPECT_NEAR(found.r[fold * 3], 1, 1e-12);
    EXPECT_TRUE(std::isnan(found.r[fold * 3 + 1]));
    EXPECT_EQ(std::isnan(found.r[fold * 3 + 2]), fold == 0);
  }
  EXPECT_NEAR(found.scores()[0], 1, 1e-12);
  EXPECT_TRUE(std::isnan(found.scores()[1]) && std::isnan(found.scores()[2]));
  // Features that say nothing predict the mean of the training rows, the same for all: not a NaN,
  // but nothing.
  for (const double r : cross_validate(doubles(std::vector<double>(12, 0.3), {12, 1}),
                                       random_matrix(12, 2, 3), folds)
                            .r)
    EXPECT_EQ(r, 0);
}

TEST(PredictivityRegression, RefusesWhatDoesNotFit) {
  const Tensor x = random_matrix(12, 3, 1), y = random_matrix(12, 2, 2),
               short_y = random_matrix(11, 2, 2), wide = random_matrix(12, 4, 3);
  EXPECT_EQ(user_error_of([&] { regress(x, short_y, x); }),
            "12 rows of features have 11 rows of responses: expected equal numbers");
  EXPECT_EQ(user_error_of([&] { regress(x, y, wide); }),
            "3 features in training and 4 in testing: expected equal numbers");
  EXPECT_EQ(user_error_of([&] { regress(x, y, x, {.alphas = {}}); }),
            "missing alpha of a ridge regression: expected at least one, such as 1");
  EXPECT_EQ(user_error_of([&] {
              regress(x, y, x, {.alphas = {1, 0}});
            }),
            "alpha 0 of a ridge regression is out of range: expected > 0, such as 1");
  EXPECT_EQ(user_error_of([&] {
              regress(x, doubles({1, 2, NAN, 4, 5, 6, 7, 8, 9, 1, 2, 3}, {12, 1}), x);
            }),
            "the responses contain NaN or infinity: expected finite numbers; leave such rows or "
            "columns out");
  const std::vector<int32_t> few = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, one(12, 0),
                             negative = {-1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(user_error_of([&] { cross_validate(x, y, few); }),
            "fold 1 of 2 holds out 2 stimuli, too few for a correlation: use fewer `folds` or more "
            "stimuli");
  EXPECT_EQ(
      user_error_of([&] { cross_validate(x, y, one); }),
      "all stimuli are in one fold, which leaves no training rows: expected at least two folds");
  EXPECT_EQ(user_error_of([&] { cross_validate(x, y, negative); }),
            "a fold is negative: expected 0 or more");
}

/// Groups g0, g1, ... of these sizes, dealt out in turn so that none stands together.
std::vector<std::string> groups_of(std::vector<int> sizes) {
  std::vector<std::string> groups;
  for (bool some = true; some;) {
    some = false;
    for (size_t g = 0; g < sizes.size(); ++g) {
      if (sizes[g]-- <= 0) continue;
      groups.push_back("g" + std::to_string(g));
      some = true;
    }
  }
  return groups;
}

TEST(PredictivityFolds, KeepGroupsWholeAndAreBalanced) {
  const auto groups = groups_of({9, 1, 4, 4, 4, 2, 6, 6, 3, 1});
  const auto folds = make_folds(groups, 4, FoldKind::kGrouped, 3);
  std::map<std::string, std::set<int32_t>> of_group;
  std::vector<int> sizes(4, 0);
  for (size_t i = 0; i < groups.size(); ++i) {
    of_group[groups[i]].insert(folds[i]);
    ++sizes[static_cast<size_t>(folds[i])];
  }
  for (const auto& [group, held] : of_group) EXPECT_EQ(held.size(), 1u) << group;
  EXPECT_EQ(sizes, (std::vector<int>{10, 10, 10, 10}))
      << "9+1, 6+4, 6+4, 4+3+2+1: largest first into the emptiest";
  EXPECT_EQ(folds, make_folds(groups, 4, FoldKind::kGrouped, 3));
  EXPECT_NE(folds, make_folds(groups, 4, FoldKind::kGrouped, 4)) << "groups of one size are drawn";
}

TEST(PredictivityFolds, ShuffledOnesAreOfOneSizeAndDoNotKnowGroups) {
  const auto groups = groups_of({11, 12});
  const auto folds = make_folds(groups, 5, FoldKind::kShuffled, 1);
  std::vector<int> sizes(5, 0);
  for (const int32_t fold : folds) ++sizes[static_cast<size_t>(fold)];
  std::sort(sizes.begin(), sizes.end());
  EXPECT_EQ(sizes, (std::vector<int>{4, 4, 5, 5, 5}));
  EXPECT_EQ(folds, make_folds(groups, 5, FoldKind::kShuffled, 1));
  EXPECT_NE(folds, make_folds(groups, 5, FoldKind::kShuffled, 2));
  std::vector<int32_t> in_order(folds.size());
  for (size_t i = 0; i < folds.size(); ++i) in_order[i] = static_cast<int32_t>(i % 5);
  EXPECT_NE(folds, in_order);
}

TEST(PredictivityFolds, RefuseTooFewGroupsOrStimuli) {
  EXPECT_EQ(user_error_of([&] {
              make_folds(groups_of({9, 9}), 3, FoldKind::kGrouped, 0);
            }),
            "2 groups cannot be held out in 3 folds: expected at most 2 `folds`, or a `fold_kind` "
            "of shuffled");
  EXPECT_EQ(user_error_of([&] { make_folds(groups_of({2}), 3, FoldKind::kShuffled, 0); }),
            "2 stimuli cannot be held out in 3 folds: use fewer `folds`");
  EXPECT_EQ(user_error_of([&] { make_folds(groups_of({2}), 1, FoldKind::kShuffled, 0); }),
            "invalid number of folds 1: expected at least two");
  EXPECT_EQ(user_error_of([&] { fold_kind_from_name("random"); }),
            "unknown kind of folds 'random': expected grouped or shuffled");
  EXPECT_EQ(user_error_of([&] { alpha_choice_from_name("cv"); }),
            "unknown choice of alpha 'cv': expected gcv or loo");
  EXPECT_EQ(user_error_of([&] { regression_from_name("pls"); }),
            "unknown regression 'pls': expected ridge or ols");
}

}  // namespace
}  // namespace vitrine::testing
