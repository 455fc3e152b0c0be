// SPDX-License-Identifier: MIT
#include "vitrine/analysis/covariance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/json.h"
#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

// NumPy and Eigen sum in different orders: a few units in the last place of the largest term. 1e-10
// is the promise.
constexpr double kRelative = 1e-10;

struct Table {
  std::vector<double> values;
  int64_t rows = 0, columns = 0;
  MatrixView view() const { return {values, rows, columns}; }
};

Table table_from(const Json& json) {
  Table table;
  for (const Json& row : json) {
    ++table.rows;
    table.columns = static_cast<int64_t>(row.size());
    for (const Json& value : row)
      table.values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                             : value.get<double>());
  }
  return table;
}

/// Element by element, relative to sqrt(c_ii c_jj): the size that an element of this place can
/// have.
void expect_near(const std::vector<double>& found, const std::vector<double>& wanted, int64_t n,
                 double tolerance = kRelative) {
  ASSERT_EQ(found.size(), wanted.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const auto at = [n](int64_t r, int64_t c) { return static_cast<size_t>(r * n + c); };
      const double size = std::sqrt(wanted[at(i, i)] * wanted[at(j, j)]);
      EXPECT_NEAR(found[at(i, j)], wanted[at(i, j)], tolerance * size) << i << ", " << j;
      EXPECT_EQ(found[at(i, j)], found[at(j, i)]) << "symmetric to the bit";
    }
  }
}

TEST(Covariance, AConstantVariableHasNoVarianceAndNoCorrelation) {
  // The mean of three times 0.1 is 0.10000000000000002 in float64.
  const std::vector<double> values = {0.1, 0.7, 1, 0.1, 0.7, 2, 0.1, 0.7, 4};
  const Covariance found = covariance({values, 3, 3}, {.rowvar = false});
  EXPECT_EQ(found.mean[0], 0.1);
  EXPECT_EQ(found.mean[1], 0.7);
  const std::vector<double> r = correlation(found);
  for (size_t i = 0; i < 9; ++i) {
    if (i == 8) continue;
    EXPECT_EQ(found.values[i], 0) << i;
    EXPECT_TRUE(std::isnan(r[i])) << i;
  }
  EXPECT_NEAR(found.values[8], 7.0 / 3, 1e-15);
  EXPECT_EQ(r[8], 1);
  // Observations of weight 0 do not make it vary.
  const std::vector<int64_t> weights = {0, 3, 3};
  const std::vector<double> column = {5, 0.1, 0.1};
  const Covariance weighted = covariance({column, 3, 1}, {.rowvar = false, .fweights = weights});
  EXPECT_EQ(weighted.mean[0], 0.1);
  EXPECT_EQ(weighted.values[0], 0);
}

TEST(Covariance, DoesNotDependOnTheScale) {
  const std::vector<double> values = {1, 10, 2, 12, 4, 11, 3, 17};
  const Covariance plain = covariance({values, 4, 2}, {.rowvar = false});
  for (const auto& [first, second] : std::vector<std::pair<double, double>>{
           {0x1p664, 1}, {0x1p-664, 1}, {0x1p1000, 0x1p-1000}, {0x1p-1000, 0x1p-1000}}) {
    std::vector<double> scaled = values;
    for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= i % 2 == 0 ? first : second;
    const Covariance found = covariance({scaled, 4, 2}, {.rowvar = false});
    EXPECT_EQ(correlation(found), correlation(plain)) << first << ", " << second;
    EXPECT_EQ(found.mean[0], plain.mean[0] * first);
    EXPECT_EQ(found.mean[1], plain.mean[1] * second);
    EXPECT_EQ(found.values[1], plain.values[1] * first * second);
    EXPECT_EQ(found.values[0], plain.values[0] * first * first) << "infinite or 0, as it is";
  }
  std::vector<double> tiny = values;
  for (double& value : tiny) value *= 0x1p-1000;
  const PrincipalComponents wanted = principal_components(plain),
                            found =
                                principal_components(covariance({tiny, 4, 2}, {.rowvar = false}));
  EXPECT_EQ(found.explained, wanted.explained);
  EXPECT_EQ(found.components, wanted.components);
}

struct Golden {
  Json json;
  Table m, y, cov;
  std::vector<int64_t> fweights;
  std::vector<double> aweights;
  CovarianceOptions options;
};

std::vector<Json> golden_cases() {
  const Json json = read_json(std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "analysis" /
                              "goldens" / "covariance.json");
  EXPECT_EQ(json["cases"].size(), 19u);
  return {json["cases"].begin(), json["cases"].end()};
}

/// Reads the golden's options; they refer to the golden, which must outlive them.
void load(Golden& golden, const Json& json) {
  golden.json = json;
  golden.m = table_from(json["m"]);
  if (json.contains("y")) golden.y = table_from(json["y"]);
  golden.cov = table_from(json["cov"]);
  const Json& options = json["options"];
  golden.options.rowvar = options.value("rowvar", true);
  golden.options.bias = options.value("bias", false);
  if (options.contains("ddof")) golden.options.ddof = options["ddof"].get<int64_t>();
  golden.fweights = options.value("fweights", std::vector<int64_t>());
  golden.aweights = options.value("aweights", std::vector<double>());
  golden.options.fweights = golden.fweights;
  golden.options.aweights = golden.aweights;
}

TEST(Covariance, IsNumpys) {
  int with_vectors = 0;
  for (const Json& json : golden_cases()) {
    Golden golden;
    load(golden, json);
    SCOPED_TRACE(json["name"].get<std::string>());
    const Covariance found = covariance(golden.m.view(), golden.y.view(), golden.options);
    ASSERT_EQ(found.variables, golden.cov.rows);
    expect_near(found.values, golden.cov.values, found.variables);

    const std::vector<double> corr = correlation(found);
    const Table wanted = table_from(json["corr"]);
    for (size_t i = 0; i < corr.size(); ++i) {
      if (std::isnan(wanted.values[i]))
        EXPECT_TRUE(std::isnan(corr[i]));
      else
        EXPECT_NEAR(corr[i], wanted.values[i], kRelative);
    }

    const PrincipalComponents components = principal_components(found);
    const auto values = json["eigenvalues"].get<std::vector<double>>();
    double total = 0;
    for (const double value : values) total += value;
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(components.eigenvalues[i], values[i], kRelative * values[0]);
      EXPECT_NEAR(components.explained[i], values[i] / total, kRelative);
    }
    if (!json.contains("components")) continue;
    ++with_vectors;
    // A vector's error is the matrix's over the gap to the next eigenvalue; here the gaps are above
    // 1e-3 of the largest.
    const Table vectors = table_from(json["components"]);
    for (size_t i = 0; i < vectors.values.size(); ++i)
      EXPECT_NEAR(components.components[i], vectors.values[i], 1e-6);
  }
  EXPECT_GT(with_vectors, 12);
}

TEST(Covariance, MeansAndCountsAreStated) {
  const std::vector<double> m = {1, 2, 6, 0, 4, 2};
  const std::vector<int64_t> f = {2, 0, 1};
  const std::vector<double> a = {0.5, 1, 2};
  // Weights 1, 0, 2; means (1 + 12) / 3 and (0 + 4) / 3; w a = 0.5, 0, 4, so the divisor is 3 - 4.5
  // / 3.
  const Covariance found = covariance({m, 2, 3}, {.fweights = f, .aweights = a});
  EXPECT_DOUBLE_EQ(found.mean[0], 13.0 / 3);
  EXPECT_DOUBLE_EQ(found.mean[1], 4.0 / 3);
  EXPECT_EQ(found.observations, 3);
  EXPECT_EQ(found.ddof, 1);
  EXPECT_DOUBLE_EQ(found.weight, 3);
  EXPECT_DOUBLE_EQ(found.divisor, 1.5);
  EXPECT_DOUBLE_EQ(found.at(0, 1),
                   (1 * (1 - 13.0 / 3) * (0 - 4.0 / 3) + 2 * (6 - 13.0 / 3) * (2 - 4.0 / 3)) / 1.5);
}

TEST(Covariance, Refuses) {
  const std::vector<double> m = {1, 2, 3, 4, 5, 7}, nan = {1, std::nan(""), 2, 3};
  const std::vector<int64_t> f = {1, -1, 0}, none = {0, 0, 0}, two = {1, 1};
  const std::vector<double> a = {1, std::nan(""), 0};
  const auto refused = [&](const MatrixView& x, const CovarianceOptions& options,
                           const MatrixView& y = {}) {
    return user_error_of([&] { covariance(x, y, options); });
  };
  EXPECT_EQ(refused({m, 2, 4}, {}), "m is declared as 2 x 4, but has 6 numbers");
  EXPECT_EQ(refused({m, int64_t{1} << 62, 6}, {}),
            "m is declared as 4611686018427387904 x 6, but has 6 numbers");
  EXPECT_EQ(refused({{}, 0, 3}, {}), "the matrix has no variables: expected at least one row");
  EXPECT_EQ(refused({m, 2, 3}, {}, {m, 3, 2}), "y has 2 observations: expected 3, as m");
  EXPECT_EQ(refused({m, 2, 3}, {.fweights = two}),
            "2 fweights for 3 observations: expected one per observation");
  EXPECT_EQ(refused({m, 2, 3}, {.fweights = f}),
            "the fweight -1 of observation 1 is negative: expected 0 or more");
  EXPECT_EQ(refused({m, 2, 3}, {.aweights = a}),
            "invalid aweight nan of observation 1: expected a finite number >= 0");
  EXPECT_EQ(refused({m, 2, 3}, {.fweights = none}),
            "missing observations with a weight > 0: expected at least one");
  EXPECT_EQ(refused({m, 2, 3}, {.ddof = 3}),
            "the divisor of the covariance is 0 (total weight 3, ddof 3): expected > 0; use more "
            "observations or a smaller `ddof`");
  EXPECT_EQ(refused({m, 6, 1}, {}).find("the divisor of the covariance is 0 (total weight 1"), 0u);
  EXPECT_EQ(user_error_of([&] {
              principal_components(covariance({nan, 2, 2}));
            }),
            "the covariance matrix contains NaN or infinity, so it has no eigenvalues: expected "
            "finite data");
}

/// Rows of `width` numbers with a mean of their own, a wide range of scales and some correlation.
std::vector<double> some_rows(int64_t count, int64_t width, double offset = 0) {
  std::vector<double> rows;
  for (int64_t i = 0; i < count; ++i) {
    const double shared = standard_normal(9, static_cast<uint64_t>(i));
    for (int64_t j = 0; j < width; ++j) {
      const double own = standard_normal(static_cast<uint64_t>(10 + j), static_cast<uint64_t>(i));
      rows.push_back(
          (offset + static_cast<double>(j) + own + (j % 3 == 0 ? shared : -0.3 * shared)) *
          std::pow(10.0, static_cast<double>(j % 4 - 2)));
    }
  }
  return rows;
}

/// Two passes in long double: nothing that the code under test does.
std::vector<double> two_passes(const std::vector<double>& rows, int64_t width, int64_t ddof = 1,
                               const std::vector<double>& weights = {}) {
  const int64_t count = static_cast<int64_t>(rows.size()) / width;
  const auto weight = [&](int64_t i) {
    return weights.empty() ? 1.0L : static_cast<long double>(weights[static_cast<size_t>(i)]);
  };
  const auto at = [&](int64_t i, int64_t j) {
    return static_cast<long double>(rows[static_cast<size_t>(i * width + j)]);
  };
  std::vector<long double> mean(static_cast<size_t>(width)),
      sum(static_cast<size_t>(width * width));
  long double total = 0;
  for (int64_t i = 0; i < count; ++i) total += weight(i);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < width; ++j)
      mean[static_cast<size_t>(j)] += weight(i) * at(i, j) / total;
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      for (int64_t k = 0; k < width; ++k) {
        sum[static_cast<size_t>(j * width + k)] += weight(i) *
                                                   (at(i, j) - mean[static_cast<size_t>(j)]) *
                                                   (at(i, k) - mean[static_cast<size_t>(k)]);
      }
    }
  }
  std::vector<double> result;
  for (const long double s : sum)
    result.push_back(static_cast<double>(s / (total - static_cast<long double>(ddof))));
  return result;
}

TEST(Moments, OnePassAgreesWithTwo) {
  constexpr int64_t kWidth = 7;
  for (const int64_t count : {2, 255, 256, 257, 1000}) {
    for (const double offset : {0.0, 1e6, 1e9}) {
      const auto rows = some_rows(count, kWidth, offset);
      Moments moments(kWidth);
      moments.add(rows);
      const Covariance found = moments.covariance();
      EXPECT_EQ(found.observations, count);
      SCOPED_TRACE(std::to_string(count) + " rows, means of " + std::to_string(offset));
      expect_near(found.values, two_passes(rows, kWidth), kWidth);
      EXPECT_NEAR(found.mean[3], covariance({rows, count, kWidth}, {.rowvar = false}).mean[3],
                  1e-12 * std::max(1.0, 100 * offset));
    }
  }
}

TEST(Moments, DoNotDependOnHowManyComeAtOnce) {
  constexpr int64_t kWidth = 5, kCount = 700;
  const auto rows = some_rows(kCount, kWidth, 100);
  Moments whole(kWidth);
  whole.add(rows);
  const Covariance wanted = whole.covariance();
  for (const size_t piece : {1, 3, 255, 256, 300}) {
    Moments moments(kWidth);
    for (size_t at = 0; at < rows.size(); at += piece * kWidth) {
      moments.add(std::span(rows).subspan(at, std::min(piece * kWidth, rows.size() - at)));
      if (at == 0) moments.covariance(0);  // looking changes nothing
    }
    EXPECT_EQ(moments.covariance().values, wanted.values) << "to the bit, " << piece;
    EXPECT_EQ(moments.covariance().mean, wanted.mean);
  }
}

TEST(Moments, TakeWeights) {
  constexpr int64_t kWidth = 3, kCount = 600;
  const auto rows = some_rows(kCount, kWidth, 10);
  std::vector<int64_t> f;
  std::vector<double> a, w;
  for (int64_t i = 0; i < kCount; ++i) {
    f.push_back(i < 300 ? 0 : i % 4);  // a whole block that counts for nothing
    a.push_back(0.25 * static_cast<double>(i % 5));
    w.push_back(static_cast<double>(f.back()) * a.back());
  }
  Moments both(kWidth), only_f(kWidth), only_a(kWidth);
  both.add(rows, f, a);
  only_f.add(rows, f);
  only_a.add(rows, {}, a);
  expect_near(both.covariance(0).values, two_passes(rows, kWidth, 0, w), kWidth);
  for (const int64_t ddof : {0, 1, 2}) {
    const auto wanted = [&](const CovarianceOptions& options) {
      return covariance({rows, kCount, kWidth}, options).values;
    };
    expect_near(both.covariance(ddof).values,
                wanted({.rowvar = false, .ddof = ddof, .fweights = f, .aweights = a}), kWidth);
    expect_near(only_f.covariance(ddof).values,
                wanted({.rowvar = false, .ddof = ddof, .fweights = f}), kWidth);
    expect_near(only_a.covariance(ddof).values,
                wanted({.rowvar = false, .ddof = ddof, .aweights = a}), kWidth);
  }
}

TEST(Moments, MergeAsIfTheyHadComeInOneRow) {
  constexpr int64_t kWidth = 6, kCount = 900;
  for (const double offset : {0.0, 1e8}) {
    const auto rows = some_rows(kCount, kWidth, offset);
    const auto wanted = two_passes(rows, kWidth);
    for (const auto& cuts : std::vector<std::vector<size_t>>{
             {0, 300, 900}, {0, 1, 2, 257, 513, 900}, {0, 0, 900}, {0, 900, 900}}) {
      Moments merged(kWidth);
      for (size_t i = 0; i + 1 < cuts.size(); ++i) {
        Moments part(kWidth);
        part.add(std::span(rows).subspan(cuts[i] * kWidth, (cuts[i + 1] - cuts[i]) * kWidth));
        merged.merge(part);
      }
      EXPECT_EQ(merged.observations(), kCount);
      expect_near(merged.covariance().values, wanted, kWidth);
    }
  }
}

TEST(Moments, Refuse) {
  EXPECT_EQ(user_error_of([] { Moments(0); }),
            "invalid covariance matrix of 0 variables: expected 1 or more");
  EXPECT_EQ(user_error_of([] { Moments(50257); }),
            "a covariance matrix of 50257 variables takes 20.2 GB: expected at most 4.29 GB; "
            "use fewer variables, for a site by selecting heads or neurons");
  Moments two(2);
  EXPECT_EQ(user_error_of([&] {
              two.add(std::vector<double>{1, 2, 3});
            }),
            "3 numbers are not whole rows: expected a multiple of 2 variables");
  EXPECT_EQ(user_error_of([&] { two.merge(Moments(3)); }),
            "cannot merge moments of 3 and 2 variables: expected equal numbers");
  EXPECT_EQ(user_error_of([&] { two.covariance(); }),
            "missing observations with a weight > 0: expected at least one");
}

TEST(StrongestPairs, AreThoseOfAllPairsSorted) {
  constexpr int64_t kVariables = 9;
  std::vector<double> r(kVariables * kVariables, 1.0);
  for (size_t i = 0; i < kVariables; ++i) {
    for (size_t j = 0; j < i; ++j)
      r[i * kVariables + j] = r[j * kVariables + i] = std::cos(static_cast<double>(7 * i + j));
  }
  r[2 * kVariables + 4] = std::nan("");
  r[1 * kVariables + 5] = 0.99995;
  r[3 * kVariables + 8] = -0.99995;  // as strong
  std::vector<std::array<double, 3>> all;
  for (size_t i = 0; i < kVariables; ++i) {
    for (size_t j = i + 1; j < kVariables; ++j) {
      if (const double value = r[i * kVariables + j]; !std::isnan(value))
        all.push_back({-std::abs(value), static_cast<double>(i), static_cast<double>(j)});
    }
  }
  std::sort(all.begin(), all.end());
  for (const size_t count : {size_t{0}, size_t{1}, size_t{5}, size_t{100}}) {
    const auto found = strongest_pairs(r, kVariables, count);
    ASSERT_EQ(found.size(), std::min(count, all.size()));
    for (size_t k = 0; k < found.size(); ++k) {
      EXPECT_EQ(static_cast<double>(found[k].i), all[k][1]) << k;
      EXPECT_EQ(static_cast<double>(found[k].j), all[k][2]) << k;
    }
  }
}

}  // namespace
}  // namespace vitrine::testing
