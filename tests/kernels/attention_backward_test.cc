// SPDX-License-Identifier: MIT
#include <limits>

#include "tests/kernels/harness.h"
#include "tests/kernels/largest_finite.h"
#include "tests/reference/adjoints.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// What each token brings: its query, key, value, and the gradient with respect to its mixed
/// values.
enum Part : int64_t { kQ, kK, kV, kDz };

// A batch of sequences, and everything that the forward pass saves.
class Problem {
 public:
  Problem(Backend& backend, std::mt19937& random, DType dtype, int heads, int width,
          std::vector<int64_t> lengths, int64_t window = 0)
      : dtype_(dtype), heads_(heads), width_(width), window_(window), lengths_(std::move(lengths)) {
    for (int64_t rows : lengths_) {
      slices_.push_back({rows_, rows, 0, 0, rows, map_size_});
      rows_ += rows;
      map_size_ += heads * rows * rows;
    }
    tokens_ = rounded(normal(random, rows_ * 4 * channels()), dtype);
    prepare(backend);
  }

  /// The same with `value` in a part of the rows [begin, end).
  Problem spoilt(Backend& backend, Part part, int64_t begin, int64_t end, float value) const {
    Problem result = *this;
    for (int64_t r = begin; r < end; ++r) {
      const auto at = result.tokens_.begin() + (r * 4 + part) * channels();
      std::fill(at, at + channels(), value);
    }
    result.prepare(backend);
    return result;
  }

  DType dtype() const { return dtype_; }
  int heads() const { return heads_; }
  int width() const { return width_; }
  int64_t window() const { return window_; }
  int64_t channels() const { return static_cast<int64_t>(heads_) * width_; }
  int64_t rows() const { return rows_; }
  int64_t map_size() const { return map_size_; }
  std::span<const SequenceSlice> slices() const { return slices_; }
  float* pattern() const { return forward_[2].data(); }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(width_)); }

  /// Part of all tokens of a sequence, for the oracle.
  Vec part(const SequenceSlice& slice, Part which) const {
    Vec result;
    for (int64_t r = slice.row; r < slice.row + slice.rows; ++r) {
      const auto begin = tokens_.begin() + (r * 4 + which) * channels();
      result.insert(result.end(), begin, begin + channels());
    }
    return result;
  }

  AttentionBackwardArgs args(const PassBatch& batch, Mat gradients) const {
    AttentionBackwardArgs result;
    result.q = columns(kQ);
    result.k = columns(kK);
    result.v = columns(kV);
    result.dz = columns(kDz);
    result.heads = heads_;
    result.head_width = width_;
    result.scale = scale();
    result.batch = &batch;
    result.window = window_;
    if (reads_output_) {
      result.z = forward_[0];
      result.lse = forward_[1];
    }
    result.dq = gradients.columns(0, channels());
    result.dk = gradients.columns(channels(), channels());
    result.dv = gradients.columns(2 * channels(), channels());
    return result;
  }

 private:
  Mat columns(Part part) const {
    return tokens_at_[0].mat().columns(part * channels(), channels());
  }

  void prepare(Backend& backend) {
    tokens_at_.clear();
    forward_.clear();
    tokens_at_.emplace_back(backend, tokens_, rows_, 4 * channels(),
                            4 * channels() + (channels() % 2 == 0 ? 8 : 3), dtype_);
    reads_output_ = backend.reads_attention_output();
    attend(backend);
  }

  // What attention() gives is the forward pass's own, as in an engine.
  void attend(Backend& backend) {
    forward_.emplace_back(backend, rows_, channels(), 0, dtype_);
    forward_.emplace_back(backend, rows_, heads_);
    forward_.emplace_back(backend, 1, map_size_);
    int64_t bytes = 0;
    std::vector<SequenceSlice> cached = slices_;
    for (SequenceSlice& slice : cached) {
      slice.cache = bytes;
      bytes += static_cast<int64_t>(backend.kv_bytes(slice.capacity, heads_, width_, dtype_) + 63) &
               ~int64_t{63};
    }
    const Buffer cache = backend.allocate(static_cast<size_t>(bytes));
    const PlacedBatch placed(backend, cached);
    const PassBatch batch = placed.batch();
    backend.append_kv(columns(kK), columns(kV), heads_, width_, batch, cache.data());
    AttentionArgs args;
    args.q = columns(kQ);
    args.heads = heads_;
    args.head_width = width_;
    args.scale = scale();
    args.batch = &batch;
    args.window = window_;
    args.cache = cache.data();
    args.z = forward_[0];
    args.lse = forward_[1];
    args.pattern = forward_[2].data();
    backend.attention(args);
    backend.synchronize();
  }

  DType dtype_;
  int heads_, width_;
  int64_t window_;
  std::vector<int64_t> lengths_;
  int64_t rows_ = 0, map_size_ = 0;
  std::vector<SequenceSlice> slices_;
  std::vector<float> tokens_;                // [rows, 4 H K]
  std::vector<Matrix> tokens_at_, forward_;  // the second: z, lse and the pattern
  bool reads_output_ = false;
};

/// What a backward pass of a problem gives.
struct Result {
  Result(Backend& backend, const Problem& p, int64_t padding = 0)
      : gradients(backend, p.rows(), 3 * p.channels(), 3 * p.channels() + padding, p.dtype()),
        dpattern(backend, 1, p.map_size()),
        dscores(backend, 1, p.map_size()) {}

  /// [rows, H K] of a sequence: 0 dq, 1 dk, 2 dv.
  std::vector<float> part(const Problem& p, const SequenceSlice& slice, int64_t which) const {
    return part_of_rows(p, slice.row, slice.row + slice.rows, which);
  }
  std::vector<float> part_of_rows(const Problem& p, int64_t begin, int64_t end,
                                  int64_t which) const {
    const std::vector<float> all = gradients.values();
    std::vector<float> result;
    for (int64_t r = begin; r < end; ++r) {
      const auto at = all.begin() + (r * 3 + which) * p.channels();
      result.insert(result.end(), at, at + p.channels());
    }
    return result;
  }

  Matrix gradients, dpattern, dscores;
};

class AttentionBackwardTest : public KernelTest {
 protected:
  /// Whole attention, or its three steps with the maps of `r`.
  static void run(Backend& backend, const Problem& p, const Result& r, bool composed,
                  bool frozen = false) {
    const PlacedBatch placed(backend, {p.slices().begin(), p.slices().end()});
    const PassBatch batch = placed.batch();
    AttentionBackwardArgs args = p.args(batch, r.gradients);
    args.frozen = frozen;
    args.dpattern = r.dpattern.data();
    args.dscores = r.dscores.data();
    if (!composed) return backend.attention_backward(args);
    args.pattern = p.pattern();
    backend.attention_backward_pattern(args);
    backend.attention_backward_scores(args);
    backend.attention_backward_inputs(args);
  }

  void check_against_oracle(int heads, int width, const std::vector<int64_t>& lengths,
                            int64_t window = 0) {
    for (const DType dtype : GetParam().activation_types()) {
      const Problem p(*backend, random, dtype, heads, width, lengths, window);
      for (const bool composed : {false, true}) {
        SCOPED_TRACE(::testing::Message()
                     << heads << " heads of " << width << " in " << dtype_name(dtype)
                     << ", first sequence " << lengths[0] << (composed ? ", composed" : "")
                     << ", window " << window);
        const Result r(*backend, p, 7);
        run(*backend, p, r, composed);
        EXPECT_TRUE(r.gradients.untouched_outside() && r.dpattern.untouched_outside() &&
                    r.dscores.untouched_outside());
        for (const SequenceSlice& slice : p.slices()) check_sequence(p, slice, r);
      }
    }
  }

  static void check_sequence(const Problem& p, const SequenceSlice& slice, const Result& r) {
    const int64_t rows = slice.rows, heads = p.heads(), width = p.width(), window = p.window();
    const Vec q = p.part(slice, kQ), k = p.part(slice, kK), v = p.part(slice, kV),
              dz = p.part(slice, kDz);
    const double scale = p.scale(), narrow = rounding(p.dtype());
    const auto want =
        reference::attention_backward(q, k, v, dz, rows, heads, width, scale, false, window);
    const Vec scores = reference::attention_scores(magnitudes(q), magnitudes(k), rows, 0, heads,
                                                   width, scale, window);
    const Vec pattern = reference::softmax(
        reference::attention_scores(q, k, rows, 0, heads, width, scale, window), rows);
    const Vec terms =
        reference::attention_dpattern(magnitudes(dz), magnitudes(v), rows, heads, width, window);
    // What each of P, dP and dS may be off by, passed on from one to the next. In 16 bits z, of
    // which sum P dP is made on some backends, is rounded, and so are P and dS before they are
    // multiplied.
    double worst_score = 0.0;
    for (double s : scores)
      worst_score = std::max(worst_score, std::isinf(s) ? 0.0 : tolerance::kScores(width, s));
    Vec dpattern, dscores, weights, weight_error;
    for (size_t i = 0; i < pattern.size(); ++i) {
      dpattern.push_back(tolerance::kPatternBackward(width, terms[i]));
      weight_error.push_back(tolerance::kSoftmax(rows, pattern[i]) +
                             (2 * worst_score + narrow) * pattern[i]);
    }
    for (size_t begin = 0; begin < pattern.size(); begin += static_cast<size_t>(rows)) {
      double mean_terms = 0.0, mean_error = 0.0;
      for (size_t j = begin; j < begin + static_cast<size_t>(rows); ++j) {
        mean_terms += pattern[j] * terms[j];
        mean_error += pattern[j] * dpattern[j] + weight_error[j] * terms[j] +
                      2 * narrow * pattern[j] * terms[j];
      }
      for (size_t j = begin; j < begin + static_cast<size_t>(rows); ++j) {
        dscores.push_back(pattern[j] * (dpattern[j] + mean_error) +
                          weight_error[j] * (terms[j] + mean_terms) +
                          tolerance::kSoftmaxBackward(rows, pattern[j] * (terms[j] + mean_terms)));
        weights.push_back(pattern[j] * (terms[j] + mean_terms));
      }
    }
    const auto at = static_cast<size_t>(slice.map), count = pattern.size();
    EXPECT_TRUE(near(std::span<const float>(r.dpattern.values()).subspan(at, count), want.dpattern,
                     dpattern))
        << "dP";
    EXPECT_TRUE(
        near(std::span<const float>(r.dscores.values()).subspan(at, count), want.dscores, dscores))
        << "dS";

    for (size_t i = 0; i < dscores.size(); ++i)
      dscores[i] = scale * (dscores[i] + tolerance::kMix(rows, weights[i]) + narrow * weights[i]);
    for (size_t i = 0; i < weight_error.size(); ++i)
      weight_error[i] += tolerance::kMix(rows, pattern[i]);
    const double step = p.dtype() == DType::kF16 ? 0x1p-25 : 0.0;  // half of f16's smallest number
    const auto rounded_too = [narrow, step](Vec tolerance, const Vec& value) {
      for (size_t i = 0; i < value.size(); ++i) tolerance[i] += narrow * std::abs(value[i]) + step;
      return tolerance;
    };
    EXPECT_TRUE(
        near(r.part(p, slice, 0), want.dq,
             rounded_too(reference::attention_mix(dscores, magnitudes(k), rows, rows, heads, width),
                         want.dq)))
        << "dq";
    EXPECT_TRUE(near(
        r.part(p, slice, 1), want.dk,
        rounded_too(reference::attention_mix_transposed(dscores, magnitudes(q), rows, heads, width),
                    want.dk)))
        << "dk";
    EXPECT_TRUE(near(r.part(p, slice, 2), want.dv,
                     rounded_too(reference::attention_mix_transposed(weight_error, magnitudes(dz),
                                                                     rows, heads, width),
                                 want.dv)))
        << "dv";
  }
};

TEST_P(AttentionBackwardTest, MatchesTheOracleForAnyHeadWidth) {
  for (int width : {1, 2, 5, 15, 16, 17, 20, 24, 64, 80, 100, 128, 130})
    check_against_oracle(2, width, {19, 1, 33});
}

TEST_P(AttentionBackwardTest, MatchesTheOracleForAnyLength) {
  for (int64_t rows :
       {1, 2, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 97, 128, 129})
    check_against_oracle(1, 20, {rows});
  if (!slow_build()) check_against_oracle(2, 64, {300});
}

TEST_P(AttentionBackwardTest, MatchesTheOracleForRaggedBatches) {
  check_against_oracle(4, 16, {1, 37, 33, 1, 2, 65, 16});
  check_against_oracle(3, 64, {1, 130, 2});
  check_against_oracle(12, 64, {20});
}

TEST_P(AttentionBackwardTest, MatchesTheOracleWithinWindows) {
  for (const int64_t window : {1, 20, 64}) check_against_oracle(1, 20, {150, 3}, window);
  check_against_oracle(1, 64, {130}, 40);
  check_against_oracle(1, 100, {90}, 33);
  check_against_oracle(1, 130, {60}, 7);
}

// What is watched on the way, and whether the steps are taken one by one. A device's whole
// attention knows sum P dP from z, which was rounded; its steps know it from the map.
TEST_P(AttentionBackwardTest, ComposedStepsAndTapsGiveTheSameBits) {
  for (const DType dtype : GetParam().activation_types()) {
    for (int width : {20, 64}) {
      const Problem p(*backend, random, dtype, 3, width, {50, 1, 17, 70});
      const PlacedBatch placed(*backend, {p.slices().begin(), p.slices().end()});
      const PassBatch batch = placed.batch();
      const Result tapped(*backend, p), bare(*backend, p), one_map(*backend, p),
          composed(*backend, p);
      run(*backend, p, tapped, false);
      backend->attention_backward(p.args(batch, bare.gradients));
      AttentionBackwardArgs args = p.args(batch, one_map.gradients);
      args.dpattern = one_map.dpattern.data();
      backend->attention_backward(args);
      EXPECT_TRUE(same_bits(tapped.gradients.values(), bare.gradients.values()));
      EXPECT_TRUE(same_bits(one_map.gradients.values(), bare.gradients.values()));
      EXPECT_TRUE(same_bits(one_map.dpattern.values(), tapped.dpattern.values()));
      args.dpattern = nullptr;
      args.dscores = one_map.dscores.data();
      backend->attention_backward(args);
      EXPECT_TRUE(same_bits(one_map.gradients.values(), bare.gradients.values()));
      EXPECT_TRUE(same_bits(one_map.dscores.values(), tapped.dscores.values()));
      if (GetParam().on_device) continue;
      run(*backend, p, composed, true);
      EXPECT_TRUE(same_bits(composed.dpattern.values(), tapped.dpattern.values()));
      EXPECT_TRUE(same_bits(composed.dscores.values(), tapped.dscores.values()));
      EXPECT_TRUE(same_bits(composed.gradients.values(), tapped.gradients.values()));
    }
  }
}

TEST_P(AttentionBackwardTest, AFrozenPatternPassesNothingToQueriesAndKeys) {
  for (const DType dtype : GetParam().activation_types()) {
    const Problem p(*backend, random, dtype, 2, 24, {40, 3});
    const Result free(*backend, p), frozen(*backend, p, 3), composed(*backend, p),
        composed_free(*backend, p);
    run(*backend, p, free, false);
    run(*backend, p, frozen, false, true);
    run(*backend, p, composed, true, true);
    run(*backend, p, composed_free, true);
    const std::vector<float> zeros(static_cast<size_t>(p.rows() * p.channels()), 0.0f);
    for (const int64_t part : {0, 1}) {
      EXPECT_TRUE(same_bits(frozen.part_of_rows(p, 0, p.rows(), part), zeros));
      EXPECT_TRUE(same_bits(composed.part_of_rows(p, 0, p.rows(), part), zeros));
    }
    EXPECT_TRUE(
        same_bits(frozen.part_of_rows(p, 0, p.rows(), 2), free.part_of_rows(p, 0, p.rows(), 2)));
    EXPECT_TRUE(same_bits(composed.part_of_rows(p, 0, p.rows(), 2),
                          composed_free.part_of_rows(p, 0, p.rows(), 2)));
    EXPECT_TRUE(
        same_bits(frozen.dpattern.values(),
                  free.dpattern.values()));  // the gradient at the pattern is there all the same
    EXPECT_TRUE(frozen.gradients.untouched_outside());
  }
}

// An edit of the scores' gradient between the steps is what queries and keys get; of the pattern's,
// what the scores get.
TEST_P(AttentionBackwardTest, EditedMapsAreUsed) {
  const Problem p(*backend, random, DType::kF32, 2, 8, {11});
  const PlacedBatch placed(*backend, {p.slices().begin(), p.slices().end()});
  const PassBatch batch = placed.batch();
  const SequenceSlice slice = p.slices()[0];
  const Vec q = p.part(slice, kQ), k = p.part(slice, kK), dz = p.part(slice, kDz);
  std::vector<float> pattern = normal(random, p.map_size()),
                     dpattern = normal(random, p.map_size()),
                     dscores = normal(random, p.map_size());
  for (int64_t i = 0; i < p.map_size(); ++i) {
    if (i % 11 > i / 11 % 11)
      pattern[static_cast<size_t>(i)] = dpattern[static_cast<size_t>(i)] =
          dscores[static_cast<size_t>(i)] = 0.0f;
  }
  const Matrix pattern_at(*backend, pattern, 1, p.map_size()),
      dpattern_at(*backend, dpattern, 1, p.map_size()),
      dscores_at(*backend, dscores, 1, p.map_size()), own(*backend, 1, p.map_size());
  const Result r(*backend, p);
  AttentionBackwardArgs args = p.args(batch, r.gradients);
  args.pattern = pattern_at.data();
  args.dpattern = dpattern_at.data();
  args.dscores = own.data();
  backend->attention_backward_scores(args);
  args.dscores = dscores_at.data();
  backend->attention_backward_inputs(args);

  const Vec pr = reference::widen(pattern), dp = reference::widen(dpattern),
            ds = reference::widen(dscores);
  Vec tolerance, want_dq = reference::attention_mix(ds, k, 11, 11, 2, 8),
                 want_dk = reference::attention_mix_transposed(ds, q, 11, 2, 8);
  for (size_t begin = 0; begin < pr.size(); begin += 11) {
    double terms = 0.0;
    for (size_t j = begin; j < begin + 11; ++j) terms += std::abs(pr[j] * dp[j]);
    for (size_t j = begin; j < begin + 11; ++j)
      tolerance.push_back(
          tolerance::kSoftmaxBackward(11, std::abs(pr[j]) * (std::abs(dp[j]) + terms)));
  }
  EXPECT_TRUE(near(own.values(), reference::softmax_backward(pr, dp, 11), tolerance));
  const auto tolerances = [](Vec terms) {
    for (double& t : terms) t = tolerance::kMix(11, t);
    return terms;
  };
  for (double& g : want_dq) g *= p.scale();
  for (double& g : want_dk) g *= p.scale();
  EXPECT_TRUE(
      near(r.part(p, slice, 0), want_dq,
           tolerances(reference::attention_mix(magnitudes(ds), magnitudes(k), 11, 11, 2, 8))));
  EXPECT_TRUE(near(
      r.part(p, slice, 1), want_dk,
      tolerances(reference::attention_mix_transposed(magnitudes(ds), magnitudes(q), 11, 2, 8))));
  EXPECT_TRUE(near(
      r.part(p, slice, 2), reference::attention_mix_transposed(pr, dz, 11, 2, 8),
      tolerances(reference::attention_mix_transposed(magnitudes(pr), magnitudes(dz), 11, 2, 8))));
}

TEST_P(AttentionBackwardTest, ASequenceAloneEqualsItInABatchForAnyThreads) {
  for (const auto& [composed, window] : {std::pair{false, 0}, {true, 0}, {false, 25}}) {
    const Problem p(*backend, random, GetParam().activation_types().back(), 3, 20,
                    {40, 1, 33, 70, 2}, window);
    const Result together(*backend, p);
    run(*backend, p, together, composed);
    backend->synchronize();
    for (int threads : {1, 2, 3}) {
      const auto other = with_threads(threads);
      const Result alone(*other, p);
      for (const SequenceSlice& slice : p.slices()) {
        const PlacedBatch placed(*other, {slice});
        const PassBatch batch = placed.batch();
        AttentionBackwardArgs args = p.args(batch, alone.gradients);
        args.dpattern = alone.dpattern.data();
        args.dscores = alone.dscores.data();
        args.pattern = p.pattern();
        if (!composed) {
          other->attention_backward(args);
          continue;
        }
        other->attention_backward_pattern(args);
        other->attention_backward_scores(args);
        other->attention_backward_inputs(args);
      }
      EXPECT_TRUE(same_bits(alone.gradients.values(), together.gradients.values()))
          << threads << " threads";
      EXPECT_TRUE(same_bits(alone.dpattern.values(), together.dpattern.values()))
          << threads << " threads";
      EXPECT_TRUE(same_bits(alone.dscores.values(), together.dscores.values()))
          << threads << " threads";
    }
  }
}

// A query's gradient knows nothing of later tokens' keys and values, a key's and a value's nothing
// of earlier tokens' queries and gradients: whatever was put there, a NaN, an infinity, the largest
// number, changes no bit.
TEST_P(AttentionBackwardTest, WhatAQueryDoesNotSeeDoesNotEnter) {
  const int64_t rows = 90;
  for (const DType dtype : GetParam().activation_types()) {
    const Problem clean(*backend, random, dtype, 1, 16, {rows});
    const Result want(*backend, clean);
    for (const float bad : {std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(), largest_finite(dtype)}) {
      for (const int64_t from : {20, 63, 70}) {
        for (const bool composed : {false, true}) {
          SCOPED_TRACE(::testing::Message() << bad << " in " << dtype_name(dtype) << " at row "
                                            << from << (composed ? ", composed" : ""));
          const Result r(*backend, clean);
          run(*backend, clean, want, composed);
          for (const Part part : {kK, kV}) {
            const Problem later = clean.spoilt(*backend, part, from, rows, bad);
            run(*backend, later, r, composed);
            EXPECT_TRUE(
                same_bits(r.part_of_rows(later, 0, from, 0), want.part_of_rows(clean, 0, from, 0)))
                << "dq";
            const std::vector<float> arrived = r.part_of_rows(later, rows - 1, rows, 0);
            EXPECT_FALSE(same_bits(arrived, want.part_of_rows(clean, rows - 1, rows, 0)));
          }
          for (const Part part : {kQ, kDz}) {
            const Problem earlier = clean.spoilt(*backend, part, 0, from, bad);
            run(*backend, earlier, r, composed);
            for (const int64_t which : {1, 2})
              EXPECT_TRUE(same_bits(r.part_of_rows(earlier, from, rows, which),
                                    want.part_of_rows(clean, from, rows, which)))
                  << which;
            EXPECT_FALSE(
                same_bits(r.part_of_rows(earlier, 0, 1, 2), want.part_of_rows(clean, 0, 1, 2)));
          }
        }
      }
    }
  }
}

// Nor does what its window leaves out.
TEST_P(AttentionBackwardTest, WhatAWindowLeavesOutDoesNotEnter) {
  if (!GetParam().on_device) GTEST_SKIP() << "a CPU multiplies it with 0";
  const int64_t rows = 130, window = 70, from = 40, after = from + window - 1;
  for (const DType dtype : GetParam().activation_types()) {
    const Problem clean(*backend, random, dtype, 1, 16, {rows}, window);
    for (const bool composed : {false, true}) {
      const Result want(*backend, clean), r(*backend, clean);
      run(*backend, clean, want, composed);
      for (const float bad : {std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN(), largest_finite(dtype)}) {
        if (composed && !std::isnan(bad)) continue;  // all of it in float32, pair by pair
        SCOPED_TRACE(::testing::Message()
                     << bad << " in " << dtype_name(dtype) << (composed ? ", composed" : ""));
        for (const Part part : {kK, kV}) {
          const Problem past = clean.spoilt(*backend, part, 0, from, bad);
          run(*backend, past, r, composed);
          EXPECT_TRUE(same_bits(r.part_of_rows(past, after, rows, 0),
                                want.part_of_rows(clean, after, rows, 0)))
              << "dq";
        }
        for (const Part part : {kQ, kDz}) {
          const Problem later = clean.spoilt(*backend, part, after, rows, bad);
          run(*backend, later, r, composed);
          for (const int64_t which : {1, 2})
            EXPECT_TRUE(same_bits(r.part_of_rows(later, 0, from, which),
                                  want.part_of_rows(clean, 0, from, which)))
                << which;
        }
      }
    }
  }
}

// One key has all of a query's weight: P is 1 and 0, dS is 0, and nothing is divided by zero.
TEST_P(AttentionBackwardTest, ACertainPatternGivesNumbers) {
  for (const DType dtype : GetParam().activation_types()) {
    const Problem p = Problem(*backend, random, dtype, 1, 4, {20})
                          .spoilt(*backend, kQ, 0, 20, 100.0f)
                          .spoilt(*backend, kK, 7, 8, 100.0f);
    const Result r(*backend, p);
    run(*backend, p, r, false);
    for (const float g : r.gradients.values()) ASSERT_TRUE(std::isfinite(g)) << g;
    // Every later query sees key 7 alone: dv of that key is the sum of their dz.
    const Vec dz = p.part(p.slices()[0], kDz);
    Vec want(4, 0.0), tolerance(4, 0.0);
    for (size_t i = 7; i < 20; ++i) {
      for (size_t c = 0; c < 4; ++c)
        want[c] += dz[i * 4 + c], tolerance[c] += std::abs(dz[i * 4 + c]);
    }
    for (size_t c = 0; c < 4; ++c)
      tolerance[c] = tolerance::kMix(13, tolerance[c]) + rounding(dtype) * std::abs(want[c]);
    EXPECT_TRUE(near(r.part_of_rows(p, 7, 8, 2), want, tolerance));
  }
}

VITRINE_FOR_EACH_BACKEND(AttentionBackwardTest);

}  // namespace
}  // namespace vitrine::testing
