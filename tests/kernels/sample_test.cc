// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class SampleTest : public KernelTest {
 protected:
  std::vector<int32_t> sample(Mat logits, float temperature, int top_k, float top_p,
                              std::span<const double> uniform) {
    std::vector<int32_t> ids(static_cast<size_t>(logits.rows), -1);
    SampleArgs args;
    args.logits = logits;
    args.temperature = temperature;
    args.top_k = top_k;
    args.top_p = top_p;
    args.uniform = uniform;
    args.ids = ids;
    backend->sample(args);
    return ids;
  }
};

TEST_P(SampleTest, DrawsWhatTheWarpedProbabilitiesSay) {
  const struct {
    int64_t vocab;
    float deviation, temperature;
    int top_k;
    float top_p;
  } cases[] = {{1, 1.0f, 1.0f, 0, 1.0f},
               {50, 1.0f, 1.0f, 0, 1.0f},
               {50, 2.0f, 0.7f, 5, 1.0f},
               {1000, 3.0f, 1.3f, 0, 0.9f},
               {1000, 3.0f, 1.0f, 40, 0.5f},
               {1000, 0.1f, 1.0f, 0, 0.95f},
               {300, 2.0f, 1.0f, 1, 1.0f},
               {300, 2.0f, 1.0f, 0, 1e-6f},
               {300, 20.0f, 1.0f, 0, 1.0f},
               {300, 2.0f, 1.0f, 400, 1.0f},
               {5000, 500.0f, 1.0f, 0, 1.0f},
               // too many tokens to sort them all: few of them enough, and not
               {5000, 3.0f, 1.0f, 40, 0.8f},
               {5000, 1.0f, 1.0f, 0, 1.0f},
               {5000, 0.1f, 1.0f, 0, 0.95f},
               {5000, 1.0f, 0.9f, 1000, 0.9f},
               {5000, 1.0f, 1.0f, 300, 1.0f}};
  for (const auto& c : cases) {
    SCOPED_TRACE(::testing::Message()
                 << c.vocab << " T " << c.temperature << " k " << c.top_k << " p " << c.top_p);
    const int64_t rows = 60;
    const std::vector<float> logits = normal(random, rows * c.vocab, c.deviation);
    std::vector<double> uniform(static_cast<size_t>(rows));
    std::uniform_real_distribution<double> distribution(0.0, 1.0);
    for (double& u : uniform) u = distribution(random);
    uniform[0] = 0.0;
    uniform[1] = std::nextafter(1.0, 0.0);
    const Matrix at(*backend, logits, rows, c.vocab, c.vocab + 3);
    const std::vector<int32_t> got = sample(at, c.temperature, c.top_k, c.top_p, uniform);
    for (int64_t r = 0; r < rows; ++r) {
      const std::span<const float> row(logits.data() + r * c.vocab, static_cast<size_t>(c.vocab));
      const Vec p = reference::warped_probabilities(row, c.temperature, c.top_k, c.top_p);
      const auto i = static_cast<size_t>(r);
      ASSERT_GE(got[i], 0);
      ASSERT_LT(got[i], c.vocab);
      EXPECT_GT(p[static_cast<size_t>(got[i])], 0.0);
      // A draw within rounding of a boundary may fall to either side of it; a GPU has exp in
      // float32.
      const double near = GetParam().on_device ? 1e-6 : 1e-12;
      if (reference::draw(p, uniform[i] + near) == reference::draw(p, uniform[i] - near)) {
        EXPECT_EQ(got[i], reference::draw(p, uniform[i])) << "row " << r;
      }
    }
    EXPECT_TRUE(same_bits(at.values(), logits));
  }
}

TEST_P(SampleTest, GreedyTakesTheSmallestIdAmongEquals) {
  const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 3.0f,
                                     -std::numeric_limits<float>::infinity()};
  const std::vector<double> uniform = {0.99};
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 5), 0.0f, 0, 1.0f, uniform)[0], 1);
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 5), 0.0f, 3, 0.5f, uniform)[0], 1);
  std::vector<float> many = normal(random, 5000);
  many[4100] = many[4099] = many[2777] = 50.0f;
  EXPECT_EQ(sample(Matrix(*backend, many, 1, 5000), 0.0f, 0, 1.0f, uniform)[0], 2777);
}

// Several blocks share a row of GPT-2's size; its best token may be any block's.
TEST_P(SampleTest, ARowAloneDrawsWhatItDrawsInABatch) {
  constexpr int64_t kRows = 5, kVocab = 50257;
  std::vector<float> logits = normal(random, kRows * kVocab, 3.0f);
  const int64_t best[kRows] = {0, 1023, 1024, 31 * 1024, kVocab - 1};
  for (int64_t r = 0; r < kRows; ++r) logits[static_cast<size_t>(r * kVocab + best[r])] = 50.0f;
  const std::vector<double> uniform = {0.0, 0.2, 0.4, 0.6, 0.999};
  const Matrix at(*backend, logits, kRows, kVocab);
  const std::vector<int32_t> greedy = sample(at, 0.0f, 0, 1.0f, uniform);
  for (const float temperature : {0.0f, 20.0f}) {
    const std::vector<int32_t> together = sample(at, temperature, 50, 0.95f, uniform);
    for (size_t r = 0; r < kRows; ++r) {
      EXPECT_EQ(greedy[r], best[r]);
      EXPECT_EQ(sample(at.mat().row_range(static_cast<int64_t>(r), 1), temperature, 50, 0.95f,
                       std::span(uniform).subspan(r, 1))[0],
                together[r]);
    }
  }
}

TEST_P(SampleTest, EqualTokensAreDrawnInTheOrderOfTheirIds) {
  for (int64_t vocab : {200, 5000, 70000}) {
    std::vector<float> logits(static_cast<size_t>(vocab), -0.0f);
    for (size_t i = 0; i < logits.size(); i += 3)
      logits[i] = 0.0f;  // equal to the others all the same
    const Matrix at(*backend, logits, 1, vocab);
    for (int64_t id : {int64_t{0}, int64_t{1}, vocab / 3, vocab - 200, vocab - 1}) {
      const std::vector<double> uniform = {(static_cast<double>(id) + 0.5) /
                                           static_cast<double>(vocab)};
      EXPECT_EQ(sample(at, 1.0f, 0, 1.0f, uniform)[0], id);
    }
  }
}

TEST_P(SampleTest, TiesAtTheTopKThresholdStay) {  // as Hugging Face's filter keeps them
  for (int64_t vocab : {5, 5000}) {
    for (int64_t equal : {3, 700}) {
      if (equal > vocab) continue;
      std::vector<float> logits(static_cast<size_t>(vocab), 0.0f);
      for (int64_t i = 0; i < equal; ++i)
        logits[static_cast<size_t>(1 + i * (vocab - 2) / equal)] = 1.0f;
      const std::vector<double> uniform = {1.0 -
                                           0.5 / static_cast<double>(equal)};  // the last of them
      for (int top_k : {2, 300}) {
        if (top_k > equal) continue;
        EXPECT_EQ(sample(Matrix(*backend, logits, 1, vocab), 1.0f, top_k, 1.0f, uniform)[0],
                  1 + (equal - 1) * (vocab - 2) / equal);
      }
    }
  }
}

TEST_P(SampleTest, TheTokenThatCrossesTopPStays) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 3), 1.0f, 0, 0.6f, std::vector<double>{0.99})[0], 1);
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 3), 1.0f, 0, 0.4f, std::vector<double>{0.99})[0], 0);
}

TEST_P(SampleTest, ForbiddenTokensAreNeverDrawn) {
  constexpr float kOut = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {kOut, 1.0f, kOut, 1.0f, kOut};
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 5), 1.0f, 0, 1.0f,
                   std::vector<double>{std::nextafter(1.0, 0.0)})[0],
            3);
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 5), 1.0f, 0, 1.0f, std::vector<double>{0.0})[0], 1);
}

/// A row of which no softmax exists, with the invalid value at `at` or, for -infinity, everywhere.
std::vector<float> without_softmax(std::vector<float> row, float invalid, int64_t at) {
  if (invalid == -std::numeric_limits<float>::infinity())
    std::fill(row.begin(), row.end(), invalid);
  else
    row[static_cast<size_t>(at)] = invalid;
  return row;
}

TEST_P(SampleTest, RowsWithoutADistributionGiveNoToken) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                  kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const int64_t vocab : {1, 7, 5000}) {
    const std::vector<float> valid = normal(random, vocab);
    for (const float invalid : {kNaN, kInfinity, -kInfinity}) {
      for (const int64_t at : {int64_t{0}, vocab / 2, vocab - 1}) {
        std::vector<float> logits = without_softmax(valid, invalid, at);
        logits.insert(logits.end(), valid.begin(), valid.end());
        for (const float temperature : {0.0f, 1.0f}) {
          const auto ids = sample(Matrix(*backend, logits, 2, vocab), temperature, 3, 0.5f,
                                  std::vector<double>{0.5, 0.5});
          EXPECT_EQ(ids[0], -1) << invalid << " at " << at << " of " << vocab;
          EXPECT_GE(ids[1], 0) << "the other row has a distribution";
        }
      }
    }
  }
}

TEST_P(SampleTest, ATemperatureNextToNothingTakesTheBestToken) {
  const std::vector<float> logits = {2.0f, 30.0f, 31.0f, -5.0f};
  EXPECT_EQ(sample(Matrix(*backend, logits, 1, 4), 1e-38f, 0, 1.0f, std::vector<double>{0.5})[0],
            2);
  const std::vector<float> below = {-20.0f, -30.0f, -19.0f, -50.0f};
  EXPECT_EQ(sample(Matrix(*backend, below, 1, 4), 1e-38f, 0, 1.0f, std::vector<double>{0.5})[0], 2);
}

VITRINE_FOR_EACH_BACKEND(SampleTest);

}  // namespace
}  // namespace vitrine::testing
