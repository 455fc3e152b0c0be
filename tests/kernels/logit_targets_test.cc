// SPDX-License-Identifier: MIT
#include <limits>

#include "tests/kernels/harness.h"
#include "tests/reference/adjoints.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr LogitTermKind kKinds[] = {LogitTermKind::kLogit, LogitTermKind::kLogProb,
                                    LogitTermKind::kProb,  LogitTermKind::kEntropy,
                                    LogitTermKind::kKl,    LogitTermKind::kReverseKl};

class LogitTargetsTest : public KernelTest {
 protected:
  /// Rows of logits in a backend's memory, with two rows of reference log-probabilities.
  struct Problem {
    Problem(Backend& backend, std::mt19937& random, int64_t r, int64_t v)
        : Problem(backend, normal(random, r * v, 2.0f), normal(random, 2 * v, 2.0f), r, v) {}

    /// `references` are logits, too: each row is normalised here.
    Problem(Backend& backend, std::vector<float> l, std::vector<float> r, int64_t row_count,
            int64_t v)
        : rows(row_count), vocab(v), logits(std::move(l)), references(std::move(r)) {
      const Vec lse = reference::log_sum_exp(reference::widen(references), vocab);
      for (size_t i = 0; i < references.size(); ++i)
        references[i] = static_cast<float>(references[i] - lse[i / static_cast<size_t>(vocab)]);
      at.emplace_back(backend, logits, rows, vocab, vocab + 3);
      at.emplace_back(backend, references, 1, static_cast<int64_t>(references.size()));
    }

    LogitTargetArgs args(std::span<const LogitTerm> terms, Mat seed,
                         std::span<double> values) const {
      LogitTargetArgs result;
      result.logits = at[0];
      result.terms = terms;
      result.references = at[1].data();
      result.seed = seed;
      result.values = values;
      return result;
    }

    Vec row(int64_t r) const {
      return {logits.begin() + r * vocab, logits.begin() + (r + 1) * vocab};
    }
    Vec reference_row(int64_t r) const {
      return {references.begin() + r * vocab, references.begin() + (r + 1) * vocab};
    }

    int64_t rows, vocab;
    std::vector<float> logits, references;
    std::vector<Matrix> at;
  };

  /// Adds a term's gradient to `seed` and its tolerance to `tolerance`; the value and its tolerance
  /// are returned.
  static std::pair<double, double> expect_term(const Problem& p, const LogitTerm& term, Vec& seed,
                                               Vec& tolerance) {
    const Vec l = p.row(term.row), r = p.reference_row(term.reference),
              g = reference::logit_target_gradient(l, term.kind, term.token, r);
    const double value = reference::logit_target(l, term.kind, term.token, r),
                 lse = reference::log_sum_exp(l, p.vocab)[0];
    const bool divergence =
        term.kind == LogitTermKind::kKl || term.kind == LogitTermKind::kReverseKl;
    double value_terms = std::abs(lse) + std::abs(l[static_cast<size_t>(term.token)]),
           mean_log = 0.0;
    if (term.kind == LogitTermKind::kProb) value_terms = value * (1.0 + value_terms);
    for (size_t i = 0; i < l.size(); ++i) {
      // The logarithm of p is a difference of float32 numbers; exp passes its error on as a share
      // of p. In the sums each term counts.
      const double logs =
          1.0 + std::abs(l[i]) + std::abs(lse) + (divergence ? std::abs(r[i]) : 0.0);
      mean_log += (std::exp(l[i] - lse) + (divergence ? std::exp(r[i]) : 0.0)) * logs;
    }
    for (size_t i = 0; i < l.size(); ++i) {
      const double p_i = std::exp(l[i] - lse), logs = 1.0 + std::abs(l[i]) + std::abs(lse) +
                                                      (divergence ? std::abs(r[i]) : 0.0);
      double size = 0.0;
      switch (term.kind) {
        case LogitTermKind::kLogit:
          size = std::abs(g[i]);
          break;
        case LogitTermKind::kLogProb:
          size = std::abs(g[i]) + p_i * logs;
          break;
        case LogitTermKind::kProb:
          size = std::abs(g[i]) * (logs + value_terms / value);
          break;
        case LogitTermKind::kKl:
          size = (p_i + std::exp(r[i])) * logs;
          break;
        default:
          size = p_i * (logs + mean_log) * logs;
          break;
      }
      const auto at = static_cast<size_t>(term.row * p.vocab) + i;
      seed[at] += static_cast<double>(term.weight) * g[i];
      tolerance[at] += tolerance::kLogitTarget(1, std::abs(term.weight) * size);
    }
    if (term.kind == LogitTermKind::kEntropy || divergence) value_terms = mean_log;
    return {value, tolerance::kLogitTarget(1, value_terms)};
  }

  void check(const Problem& p, const std::vector<LogitTerm>& terms) {
    const Matrix seed(*backend, p.rows, p.vocab, p.vocab + 5);
    std::vector<double> values(terms.size(), -12345.0);
    backend->logit_targets(p.args(terms, seed, values));
    Vec want(p.logits.size(), 0.0), tolerance(p.logits.size(), 0.0);
    for (size_t t = 0; t < terms.size(); ++t) {
      const auto [value, value_tolerance] = expect_term(p, terms[t], want, tolerance);
      EXPECT_NEAR(values[t], value, value_tolerance)
          << "term " << t << " of kind " << static_cast<int>(terms[t].kind);
    }
    EXPECT_TRUE(near(seed.values(), want, tolerance));
    EXPECT_TRUE(seed.untouched_outside());
    EXPECT_TRUE(p.at[0].untouched_outside());
  }
};

TEST_P(LogitTargetsTest, EachKindMatchesTheOracle) {
  for (const int64_t vocab : {int64_t{1}, int64_t{2}, int64_t{17}, int64_t{1000}, int64_t{4097},
                              slow_build() ? int64_t{5001} : int64_t{50257}}) {
    const Problem p(*backend, random, 1, vocab);
    for (LogitTermKind kind : kKinds) {
      SCOPED_TRACE(::testing::Message()
                   << "kind " << static_cast<int>(kind) << ", vocabulary of " << vocab);
      check(p, {{kind, 0, static_cast<int32_t>(vocab * 2 / 3), 1.0f, 1}});
    }
  }
}

// Rows without a term get zeros; rows with many get their weighted sum.
TEST_P(LogitTargetsTest, TermsOfARowAddUp) {
  const Problem p(*backend, random, 5, 130);
  check(p, {{LogitTermKind::kLogit, 0, 129, -0.5f, 0},
            {LogitTermKind::kLogProb, 0, 3, 2.0f, 0},
            {LogitTermKind::kKl, 0, 0, 0.25f, 1},
            {LogitTermKind::kKl, 0, 0, -1.5f, 0},
            {LogitTermKind::kReverseKl, 2, 0, 3.0f, 1},
            {LogitTermKind::kEntropy, 2, 0, 1.0f, 0},
            {LogitTermKind::kProb, 2, 77, -4.0f, 0},
            {LogitTermKind::kLogit, 2, 77, 0.0f, 0},
            {LogitTermKind::kLogit, 4, 0, 1.0f, 0},
            {LogitTermKind::kLogit, 4, 1, -1.0f, 0}});
  check(p, {});
}

// One token is far ahead: the others' probabilities are none, and 0 log 0 is 0.
TEST_P(LogitTargetsTest, CertaintyGivesNumbers) {
  constexpr float kOut = -std::numeric_limits<float>::infinity();
  for (const float low : {-200.0f, -1e30f, kOut}) {
    std::vector<float> logits = {low, 5.0f, low, 4.0f, low};
    const Problem p(*backend, logits, {1.0f, 2.0f, 3.0f, -1.0f, 0.0f, low, 1.0f, low, 2.0f, low}, 1,
                    5);
    for (LogitTermKind kind : kKinds) {
      for (const int64_t reference : {0, 1}) {
        SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind) << ", low " << low
                                          << ", reference " << reference);
        const std::vector<LogitTerm> terms = {{kind, 0, 1, 1.0f, reference}};
        std::vector<double> values(1);
        const Matrix seed(*backend, 1, 5);
        backend->logit_targets(p.args(terms, seed, values));
        // KL from a reference to a model that excludes what the reference does not is infinite, as
        // far as float32 tells.
        const bool infinite = kind == LogitTermKind::kKl && reference == 0;
        if (infinite) {
          EXPECT_GT(values[0], 100.0);
        } else {
          EXPECT_TRUE(std::isfinite(values[0])) << values[0];
        }
        for (const float g : seed.values()) EXPECT_TRUE(std::isfinite(g)) << g;
      }
    }
  }
}

TEST_P(LogitTargetsTest, NotANumberStaysOne) {
  for (const int64_t vocab : {5, 1000}) {
    std::vector<float> logits = normal(random, vocab);
    logits[static_cast<size_t>(vocab - 2)] = std::numeric_limits<float>::quiet_NaN();
    const Problem p(*backend, logits, normal(random, 2 * vocab), 1, vocab);
    for (const LogitTermKind kind : kKinds) {
      SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind));
      const auto token = static_cast<int32_t>(kind == LogitTermKind::kLogit ? vocab - 2 : 0);
      const std::vector<LogitTerm> terms = {{kind, 0, token, 1.0f, 1}};
      std::vector<double> values(1);
      const Matrix seed(*backend, 1, vocab);
      backend->logit_targets(p.args(terms, seed, values));
      EXPECT_TRUE(std::isnan(values[0])) << values[0];
      if (kind != LogitTermKind::kLogit) {
        EXPECT_TRUE(std::isnan(seed.values()[1]));
      }
    }
  }
}

// What one adds to all logits changes no probability: a row far from zero is as good as any.
TEST_P(LogitTargetsTest, ACommonShiftOfAllLogitsDoesNotMatter) {
  std::vector<float> logits(97);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(static_cast<int>(i * 37 % 97) - 48) / 16.0f;
  std::vector<float> shifted = logits;
  for (float& l : shifted) l += 1024.0f;  // exact: the logits are sixteenths
  const Problem p(*backend, logits, normal(random, 2 * 97), 1, 97);
  Problem far = p;
  far.at[0] = Matrix(*backend, shifted, 1, 97);
  for (LogitTermKind kind : {LogitTermKind::kProb, LogitTermKind::kEntropy, LogitTermKind::kLogProb,
                             LogitTermKind::kKl, LogitTermKind::kReverseKl}) {
    const std::vector<LogitTerm> terms = {{kind, 0, 7, 1.0f, 1}};
    std::vector<double> near_value(1), far_value(1);
    const Matrix near_seed(*backend, 1, 97), far_seed(*backend, 1, 97);
    backend->logit_targets(p.args(terms, near_seed, near_value));
    backend->logit_targets(far.args(terms, far_seed, far_value));
    const std::vector<float> want = near_seed.values();
    // lse is rounded to float32 at most: half a unit in the last place of 1024.
    EXPECT_NEAR(far_value[0], near_value[0], 2 * 1024 * 0x1p-24);
    Vec tolerance;
    for (const float g : want) tolerance.push_back(4 * 1024 * 0x1p-24 * (std::abs(g) + 0x1p-7));
    EXPECT_TRUE(near(far_seed.values(), Vec(want.begin(), want.end()), tolerance))
        << static_cast<int>(kind);
  }
}

TEST_P(LogitTargetsTest, ARowAloneAndAnyThreadsGiveTheSameBits) {
  for (const auto& [rows, vocab] : {std::pair<int64_t, int64_t>{25, 700}, {3, 5025}}) {
    const Problem p(*backend, random, rows, vocab);
    std::vector<LogitTerm> terms;
    for (int64_t r = 0; r < rows; ++r) {
      if (r % 4 == 3) continue;  // a row without a term
      for (int64_t i = 0; i <= r % 3; ++i) {
        const auto kind = kKinds[(r + 2 * i) % 6];
        terms.push_back({kind, r, static_cast<int32_t>((r * 31 + i) % vocab),
                         1.0f + static_cast<float>(i), r % 2});
      }
    }
    const Matrix all(*backend, rows, vocab);
    std::vector<double> values(terms.size());
    backend->logit_targets(p.args(terms, all, values));
    const std::vector<float> want = all.values();
    for (int threads : {1, 2, 3}) {
      const auto other = with_threads(threads);
      const Matrix alone(*other, rows, vocab);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<LogitTerm> own;
        std::vector<double> expected;
        for (size_t t = 0; t < terms.size(); ++t) {
          if (terms[t].row != r) continue;
          own.push_back(terms[t]);
          own.back().row = 0;
          expected.push_back(values[t]);
        }
        std::vector<double> got(own.size());
        LogitTargetArgs args = p.args(own, alone.mat().row_range(r, 1), got);
        args.logits = args.logits.row_range(r, 1);
        other->logit_targets(args);
        EXPECT_EQ(got, expected) << "row " << r;
      }
      EXPECT_TRUE(same_bits(alone.values(), want)) << threads << " threads";
    }
  }
}

VITRINE_FOR_EACH_BACKEND(LogitTargetsTest);

}  // namespace
}  // namespace vitrine::testing
