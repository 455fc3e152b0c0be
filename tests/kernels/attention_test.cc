// SPDX-License-Identifier: MIT
#include <cstring>
#include <limits>

#include "tests/kernels/harness.h"
#include "tests/kernels/largest_finite.h"

namespace vitrine::testing {
using namespace internal;
namespace {

struct Tokens {
  int64_t rows, past;
};

// A batch of sequences with their caches: the past already appended, the new tokens' q, k, v
// packed.
class Problem {
 public:
  Problem(Backend& backend, std::mt19937& random, DType dtype, int heads, int width,
          std::vector<Tokens> tokens, int64_t window = 0)
      : dtype_(dtype), heads_(heads), width_(width), window_(window), tokens_(std::move(tokens)) {
    const int64_t stride = 3 * channels();
    for (Tokens t : tokens_) {
      sequences_.push_back(rounded(normal(random, (t.past + t.rows) * stride), dtype));
      total_rows_ += t.rows;
    }
    std::vector<float> packed;
    for (size_t s = 0; s < tokens_.size(); ++s) {
      packed.insert(packed.end(), sequences_[s].begin() + tokens_[s].past * stride,
                    sequences_[s].end());
    }
    qkv_.emplace_back(backend, packed, total_rows_, stride, 0, dtype);
    fill_caches(backend);
  }

  DType dtype() const { return dtype_; }
  int64_t channels() const { return static_cast<int64_t>(heads_) * width_; }
  int64_t rows() const { return total_rows_; }
  int64_t map_size() const { return map_size_; }
  int64_t window() const { return window_; }
  const std::vector<Tokens>& tokens() const { return tokens_; }
  std::span<const SequenceSlice> slices() const { return slices_; }
  PassBatch batch() const { return batch_; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(width_)); }

  AttentionArgs args(Mat z) const {
    AttentionArgs result;
    result.q = qkv_[0].mat().columns(0, channels());
    result.heads = heads_;
    result.head_width = width_;
    result.scale = scale();
    result.batch = &batch_;
    result.window = window_;
    result.cache = cache_.data();
    result.z = z;
    return result;
  }

  /// Columns of the oracle: part 0 q (new rows), 1 k, 2 v (all rows) of sequence s.
  Vec part(size_t s, int64_t which) const {
    const int64_t stride = 3 * channels(), first = which == 0 ? tokens_[s].past : 0;
    Vec result;
    for (int64_t r = first; r < tokens_[s].past + tokens_[s].rows; ++r) {
      const auto begin = sequences_[s].begin() + r * stride + which * channels();
      result.insert(result.end(), begin, begin + channels());
    }
    return result;
  }

 private:
  void fill_caches(Backend& backend) {
    int64_t row = 0, cache_bytes = 0;
    for (size_t s = 0; s < tokens_.size(); ++s) {
      const Tokens t = tokens_[s];
      slices_.push_back({row, t.rows, t.past, cache_bytes,
                         t.past + t.rows + static_cast<int64_t>(s % 3) * 9, map_size_});
      cache_bytes += static_cast<int64_t>(
                         backend.kv_bytes(slices_.back().capacity, heads_, width_, dtype_) + 63) &
                     ~int64_t{63};
      row += t.rows;
      map_size_ += heads_ * t.rows * (t.past + t.rows);
    }
    const std::vector<float> poison(static_cast<size_t>(cache_bytes) / sizeof(float),
                                    std::numeric_limits<float>::quiet_NaN());
    cache_ = backend.allocate(static_cast<size_t>(cache_bytes));
    backend.upload(cache_.data(), poison.data(), static_cast<size_t>(cache_bytes));
    for (size_t s = 0; s < tokens_.size(); ++s) append_past(backend, s);
    placed_ = PlacedBatch(backend, slices_);
    batch_ = placed_.batch();
    const Mat qkv = qkv_[0];
    backend.append_kv(qkv.columns(channels(), channels()), qkv.columns(2 * channels(), channels()),
                      heads_, width_, batch_, cache_.data());
  }

  void append_past(Backend& backend, size_t s) {
    const int64_t stride = 3 * channels(), past = tokens_[s].past;
    if (past == 0) return;
    const Matrix rows(backend, std::span(sequences_[s]).first(static_cast<size_t>(past * stride)),
                      past, stride, 0, dtype_);
    const PlacedBatch before(backend, {{0, past, 0, slices_[s].cache, slices_[s].capacity, 0}});
    backend.append_kv(rows.mat().columns(channels(), channels()),
                      rows.mat().columns(2 * channels(), channels()), heads_, width_,
                      before.batch(), cache_.data());
  }

  DType dtype_;
  int heads_, width_;
  int64_t window_;
  std::vector<Tokens> tokens_;
  std::vector<std::vector<float>> sequences_;  // [past + rows, 3 H K] each
  int64_t total_rows_ = 0, map_size_ = 0;
  std::vector<Matrix> qkv_;
  Buffer cache_;
  std::vector<SequenceSlice> slices_;
  PlacedBatch placed_;
  PassBatch batch_;
};

struct Result {
  Result(Backend& backend, const Problem& p, int heads)
      : z(backend, p.rows(), p.channels(), p.channels() + 7, p.dtype()),
        scores(backend, 1, p.map_size()),
        pattern(backend, 1, p.map_size()),
        lse(backend, p.rows(), heads) {}
  Matrix z, scores, pattern, lse;
};

// One sequence that is computed in passes of any sizes.
class Stream {
 public:
  Stream(std::mt19937& random, DType dtype, int heads, int width, int64_t total, int64_t window = 0)
      : dtype_(dtype),
        heads_(heads),
        width_(width),
        total_(total),
        window_(window),
        tokens_(normal(random, total * 3 * channels())) {}

  int64_t channels() const { return static_cast<int64_t>(heads_) * width_; }
  /// Columns [begin, end) of q, k, v of a row.
  void fill(int64_t row, int64_t begin, int64_t end, float value) {
    std::fill(tokens_.begin() + row * 3 * channels() + begin,
              tokens_.begin() + row * 3 * channels() + end, value);
  }

  /// z of all tokens, after passes of the given number of tokens each; with keys and values
  /// appended by an operation of its own, or by attention.
  std::vector<float> in_steps(Backend& backend, const std::vector<int64_t>& steps,
                              bool apart = true) const {
    const Matrix qkv(backend, tokens_, total_, 3 * channels(), 0, dtype_),
        z(backend, total_, channels(), 0, dtype_);
    const Buffer cache = backend.allocate(backend.kv_bytes(total_, heads_, width_, dtype_));
    int64_t past = 0;
    for (size_t i = 0; past < total_; ++i) {
      const int64_t rows = std::min(steps[i], total_ - past);
      const PlacedBatch placed(backend, {{0, rows, past, 0, total_, 0}});
      const PassBatch batch = placed.batch();
      const Mat part = qkv.mat().row_range(past, rows);
      const Mat k = part.columns(channels(), channels()),
                v = part.columns(2 * channels(), channels());
      AttentionArgs args;
      args.q = part.columns(0, channels());
      args.heads = heads_;
      args.head_width = width_;
      args.scale = 0.2f;
      args.batch = &batch;
      args.window = window_;
      args.cache = cache.data();
      args.z = z.mat().row_range(past, rows);
      if (apart) {
        backend.append_kv(k, v, heads_, width_, batch, cache.data());
        backend.attention(args);
      } else {
        backend.append_and_attend(k, v, args);
      }
      past += rows;
    }
    return z.values();
  }

 private:
  DType dtype_;
  int heads_, width_;
  int64_t total_, window_;
  std::vector<float> tokens_;
};

class AttentionTest : public KernelTest {
 protected:
  void check_against_oracle(int heads, int width, const std::vector<Tokens>& tokens,
                            int64_t window = 0) {
    for (const DType dtype : GetParam().activation_types())
      check_against_oracle(dtype, heads, width, tokens, window);
  }

  void check_against_oracle(DType dtype, int heads, int width, const std::vector<Tokens>& tokens,
                            int64_t window) {
    SCOPED_TRACE(::testing::Message() << heads << " heads of " << width << " in "
                                      << dtype_name(dtype) << ", first sequence " << tokens[0].rows
                                      << " + " << tokens[0].past << ", window " << window);
    const Problem p(*backend, random, dtype, heads, width, tokens, window);
    const Result r(*backend, p, heads);
    AttentionArgs args = p.args(r.z);
    args.scores = r.scores.data();
    args.pattern = r.pattern.data();
    args.lse = r.lse;
    backend->attention(args);
    EXPECT_TRUE(r.z.untouched_outside() && r.scores.untouched_outside() &&
                r.pattern.untouched_outside() && r.lse.untouched_outside());
    for (size_t s = 0; s < tokens.size(); ++s) check_sequence(p, s, r, heads, width);
  }

  void check_sequence(const Problem& p, size_t s, const Result& r, int heads, int width) {
    const auto [rows, past] = p.tokens()[s];
    const int64_t total = past + rows;
    const SequenceSlice& slice = p.slices()[s];
    const Vec q = p.part(s, 0), k = p.part(s, 1), v = p.part(s, 2);
    const auto scale = static_cast<double>(p.scale());
    const Vec scores =
        reference::attention_scores(q, k, rows, past, heads, width, scale, p.window());
    const Vec pattern = reference::softmax(scores, total),
              lse = reference::log_sum_exp(scores, total);
    const Vec terms = reference::attention_scores(magnitudes(q), magnitudes(k), rows, past, heads,
                                                  width, scale, p.window());
    Vec score_tolerance, pattern_tolerance, lse_tolerance, lse_by_row;
    double worst_score = 0.0;
    for (double t : terms)
      score_tolerance.push_back(std::isinf(t) ? 0.0 : tolerance::kScores(width, t));
    for (double t : score_tolerance) worst_score = std::max(worst_score, t);
    for (double pr : pattern)
      pattern_tolerance.push_back(tolerance::kSoftmax(total, pr) + 2 * worst_score * pr);
    const auto at = static_cast<size_t>(slice.map), count = scores.size();
    EXPECT_TRUE(near(std::span<const float>(r.scores.values()).subspan(at, count), scores,
                     score_tolerance));
    EXPECT_TRUE(near(std::span<const float>(r.pattern.values()).subspan(at, count), pattern,
                     pattern_tolerance));
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t h = 0; h < heads; ++h) {
        lse_by_row.push_back(lse[static_cast<size_t>(h * rows + i)]);
        lse_tolerance.push_back(tolerance::kSoftmax(total, 1.0 + std::abs(lse_by_row.back())) +
                                worst_score);
      }
    }
    const auto first_lse = static_cast<size_t>(slice.row * heads);
    EXPECT_TRUE(near(std::span<const float>(r.lse.values()).subspan(first_lse, lse_by_row.size()),
                     lse_by_row, lse_tolerance));
    const Vec z_terms = reference::attention_mix(pattern, magnitudes(v), rows, total, heads, width);
    Vec z_tolerance;
    for (double t : z_terms) {
      // In 16 bits each exp(score) is rounded before it is multiplied with its value, and so is z.
      const double narrowing = 2 * rounding(p.dtype()) * t;
      z_tolerance.push_back(tolerance::kMix(total, t) + tolerance::kSoftmax(total, t) +
                            2 * worst_score * t + narrowing);
    }
    const auto first_z = static_cast<size_t>(slice.row * p.channels());
    EXPECT_TRUE(near(std::span<const float>(r.z.values()).subspan(first_z, z_terms.size()),
                     reference::attention_mix(pattern, v, rows, total, heads, width), z_tolerance));
  }

  /// The composed steps' z against the fused one's: on a CPU the same bits. A device mixes the
  /// values of the composed form with the finished pattern in float32, of the fused one with what
  /// is known tile by tile, in the values' own type.
  void check_composed(const Problem& p, const std::vector<float>& composed,
                      const std::vector<float>& fused) {
    if (!GetParam().on_device) {
      EXPECT_TRUE(same_bits(composed, fused));
      return;
    }
    // |z| is at most the largest value, whose terms' sizes sum up to no more.
    double largest = 0.0;
    for (size_t s = 0; s < p.tokens().size(); ++s) {
      for (const double v : p.part(s, 2)) largest = std::max(largest, std::abs(v));
    }
    const double allowed = tolerance::kMix(701, largest) + tolerance::kSoftmax(701, largest) +
                           3 * rounding(p.dtype()) * largest;
    EXPECT_TRUE(near(composed, Vec(fused.begin(), fused.end()), Vec(fused.size(), allowed)));
  }
};

TEST_P(AttentionTest, MatchesTheOracleForAnyHeadWidth) {
  for (int width : {1, 2, 5, 15, 16, 17, 20, 24, 64, 80, 100, 128, 130})
    check_against_oracle(2, width, {{19, 0}, {1, 66}});
}

TEST_P(AttentionTest, MatchesTheOracleForAnyLength) {
  for (int64_t rows :
       {1, 2, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 97, 128, 129}) {
    check_against_oracle(1, 20, {{rows, 0}});
  }
  if (!slow_build()) check_against_oracle(2, 64, {{300, 0}});
}

TEST_P(AttentionTest, MatchesTheOracleForRaggedBatchesWithPast) {
  check_against_oracle(4, 16,
                       {{1, 0}, {7, 30}, {33, 1}, {1, 63}, {1, 64}, {8, 121}, {9, 120}, {50, 15}});
  check_against_oracle(3, 64, {{1, 130}, {2, 16}, {1, 600}});
  check_against_oracle(1, 33, {{1, 5}});
  check_against_oracle(1, 16, {{2, 33 * 64 - 1}, {1, 32 * 64 - 1}});  // and 32 tiles, and more
  check_against_oracle(1, 130, {{1, 70}, {20, 50}});
}

TEST_P(AttentionTest, MatchesTheOracleWithinWindows) {
  for (const int64_t window : {1, 5, 64, 100})
    check_against_oracle(1, 20, {{150, 0}, {1, 200}, {8, 121}, {20, 100}, {1, 3}}, window);
  for (const int width : {64, 100, 130}) check_against_oracle(1, width, {{40, 50}, {5, 150}}, 37);
}

TEST_P(AttentionTest, ComposedStepsAndTapsGiveTheSameBits) {
  for (const DType dtype : GetParam().activation_types()) {
    for (const auto& [width, window] : {std::pair{20, 0}, {64, 0}, {20, 40}}) {
      const int heads = 3;
      const Problem p(*backend, random, dtype, heads, width,
                      {{50, 0}, {1, 33}, {17, 70}, {1, window > 0 ? 200 : 700}}, window);
      const Result tapped(*backend, p, heads), bare(*backend, p, heads),
          composed(*backend, p, heads), one_map(*backend, p, heads);
      AttentionArgs args = p.args(bare.z);
      backend->attention(args);
      args.z = one_map.z;
      args.scores = one_map.scores.data();
      backend->attention(args);
      args.scores = nullptr;
      args.pattern = one_map.pattern.data();
      backend->attention(args);
      args.z = tapped.z;
      args.scores = tapped.scores.data();
      args.pattern = tapped.pattern.data();
      args.lse = tapped.lse;
      backend->attention(args);
      AttentionArgs steps = p.args(composed.z);
      steps.scores = composed.scores.data();
      steps.pattern = composed.pattern.data();
      steps.lse = composed.lse;
      backend->attention_scores(steps);
      backend->attention_softmax(steps);
      backend->attention_mix(steps);
      EXPECT_TRUE(same_bits(tapped.z.values(), bare.z.values()));
      EXPECT_TRUE(same_bits(one_map.z.values(), bare.z.values()));
      EXPECT_TRUE(same_bits(one_map.scores.values(), tapped.scores.values()));
      EXPECT_TRUE(same_bits(one_map.pattern.values(), tapped.pattern.values()));
      EXPECT_TRUE(same_bits(composed.scores.values(), tapped.scores.values()));
      EXPECT_TRUE(same_bits(composed.pattern.values(), tapped.pattern.values()));
      EXPECT_TRUE(same_bits(composed.lse.values(), tapped.lse.values()));
      EXPECT_TRUE(composed.scores.untouched_outside() && composed.pattern.untouched_outside() &&
                  composed.z.untouched_outside());
      check_composed(p, composed.z.values(), bare.z.values());
    }
  }
}

// The same tokens once as one pass, once as any split into cached passes: what a row of z is must
// not change.
TEST_P(AttentionTest, CachedAndRecomputedPassesGiveTheSameBits) {
  for (const DType dtype : GetParam().activation_types()) {
    const Stream stream(random, dtype, 2, 24, 90);
    const std::vector<float> want = stream.in_steps(*backend, {90});
    for (int64_t step : {1, 2, 7, 8, 9, 16, 48, 61}) {
      EXPECT_TRUE(same_bits(stream.in_steps(*backend, std::vector<int64_t>(90, step)), want))
          << "in steps of " << step;
    }
    for (int width : {64, 100, 130}) {  // many tiles of keys for few queries
      const Stream longer(random, dtype, 1, width, 330);
      EXPECT_TRUE(same_bits(longer.in_steps(*backend, {190, 1, 1, 1, 62, 1, 8, 3, 51, 5, 1, 1, 5}),
                            longer.in_steps(*backend, {330})))
          << "heads of " << width;
    }
  }
}

TEST_P(AttentionTest, WindowsGiveTheSameBitsInAnyPasses) {
  const std::vector<int64_t> steps{190, 1, 1, 1, 62, 1, 8, 3, 1, 2};
  for (const DType dtype : GetParam().activation_types()) {
    for (const auto& [width, window] : {std::pair{24, 3}, {24, 70}, {130, 70}}) {
      const Stream stream(random, dtype, 1, width, 270, window);
      const std::vector<float> want = stream.in_steps(*backend, {270});
      for (const bool apart : {true, false})
        EXPECT_TRUE(same_bits(stream.in_steps(*backend, steps, apart), want))
            << "heads of " << width << " in " << dtype_name(dtype) << ", window " << window;
    }
  }
}

// What attention appends is there for the passes that follow, too. Steps cross a tile's edge with
// one token and with several, and go to the kernels for few tokens, many, and wide heads.
TEST_P(AttentionTest, AppendingByAttentionGivesTheSameBits) {
  for (const DType dtype : GetParam().activation_types()) {
    for (const int width : {5, 64, 130}) {
      const Stream stream(random, dtype, 2, width, 80);
      for (const std::vector<int64_t>& steps :
           {std::vector<int64_t>{58, 1, 1, 1, 1, 1, 1, 1, 1, 8, 6},
            std::vector<int64_t>{3, 8, 48, 8, 2, 11}}) {
        EXPECT_TRUE(
            same_bits(stream.in_steps(*backend, steps, false), stream.in_steps(*backend, steps)))
            << width << " in " << dtype_name(dtype);
      }
    }
  }
}

// A recorded pass is run again when the sequences have grown.
TEST_P(AttentionTest, ARecordedPassFollowsItsSequences) {
  if (!backend->records()) GTEST_SKIP() << "records nothing";
  for (const int64_t window : {0, 70}) {
    const Problem p(*backend, random, DType::kBF16, 2, 40, {{1, 200}, {1, 30}, {2, 128}, {12, 100}},
                    window);
    const Result direct(*backend, p, 2), replayed(*backend, p, 2);
    AttentionArgs args = p.args(direct.z);
    args.pattern = direct.pattern.data();
    args.lse = direct.lse;
    backend->attention(args);

    std::vector<SequenceSlice> earlier(p.slices().begin(), p.slices().end());
    for (SequenceSlice& slice : earlier) slice.past = 3;
    const PlacedBatch placed(*backend, earlier);
    const PassBatch batch = placed.batch();
    args.batch = &batch;
    args.z = replayed.z;
    args.pattern = replayed.pattern.data();
    args.lse = replayed.lse;
    backend->begin_recording();
    backend->attention(args);
    const auto recording = backend->end_recording();
    PassBatch grown = p.batch();
    grown.placed = batch.placed;
    backend->place(grown);
    for (int i = 0; i < 2; ++i) {
      recording->replay();
      EXPECT_TRUE(same_bits(replayed.z.values(), direct.z.values()));
      EXPECT_TRUE(same_bits(replayed.pattern.values(), direct.pattern.values()));
      EXPECT_TRUE(same_bits(replayed.lse.values(), direct.lse.values()));
    }
  }
}

TEST_P(AttentionTest, ASequenceAloneEqualsItInABatchForAnyThreads) {
  const int heads = 3, width = 20;
  for (const int64_t window : {0, 30}) {
    const Problem p(*backend, random, GetParam().activation_types().back(), heads, width,
                    {{40, 0}, {1, 33}, {1, 2}, {1, 140}, {70, 12}}, window);
    const Matrix together(*backend, p.rows(), p.channels(), 0, p.dtype());
    backend->attention(p.args(together));
    backend->synchronize();
    for (int threads : {1, 2, 3}) {
      const auto other = with_threads(threads);
      const Matrix alone(*other, p.rows(), p.channels(), 0, p.dtype());
      for (const SequenceSlice& slice : p.slices()) {
        AttentionArgs args = p.args(alone);
        const PlacedBatch placed(*other, {slice});
        const PassBatch batch = placed.batch();
        args.batch = &batch;
        other->attention(args);
      }
      EXPECT_TRUE(same_bits(alone.values(), together.values())) << threads << " threads";
    }
  }
}

// Whatever an edit put into one token, a NaN, an infinity, the largest number, must not reach the
// tokens before it: neither in its own tile of keys nor through what several queries are computed
// with.
TEST_P(AttentionTest, TheFutureDoesNotLeak) {
  const int64_t rows = 90, width = 16;
  for (const DType dtype : GetParam().activation_types()) {
    const Stream clean(random, dtype, 1, width, rows);
    const std::vector<float> want = clean.in_steps(*backend, {rows});
    for (const float bad : {std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(), largest_finite(dtype)}) {
      for (const int64_t part :
           {int64_t{0}, 2 * width}) {  // queries, keys and values; values alone
        for (const int64_t from : {20, 63, 70}) {
          Stream spoilt = clean;
          for (int64_t r = from; r < rows; ++r) spoilt.fill(r, part, 3 * width, bad);
          for (const std::vector<int64_t>& steps :
               {std::vector<int64_t>{rows}, std::vector<int64_t>{18, 7, 42, 5, 18}}) {
            const std::vector<float> z = spoilt.in_steps(*backend, steps);
            const auto before = static_cast<size_t>(from * width);
            EXPECT_TRUE(same_bits(std::span(z).first(before), std::span(want).first(before)))
                << bad << " in " << dtype_name(dtype) << " from column " << part << " of row "
                << from;
            const bool arrives = part == 0 && !std::isfinite(bad) ? std::isnan(z[before])
                                                                  : !(std::abs(z[before]) < 100.0f);
            EXPECT_TRUE(arrives) << z[before];
          }
        }
      }
    }
  }
}

// Nor does what a window has left behind.
TEST_P(AttentionTest, ThePastOutsideAWindowDoesNotLeak) {
  if (!GetParam().on_device) GTEST_SKIP() << "a CPU multiplies it with 0";
  const int64_t rows = 150, width = 16, window = 70;
  for (const DType dtype : GetParam().activation_types()) {
    const Stream clean(random, dtype, 1, width, rows, window);
    const std::vector<float> want = clean.in_steps(*backend, {rows});
    for (const float bad : {std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(), largest_finite(dtype)}) {
      Stream spoilt = clean;
      for (int64_t r = 0; r < 30; ++r) spoilt.fill(r, width, 3 * width, bad);
      for (const std::vector<int64_t>& steps :
           {std::vector<int64_t>{rows}, std::vector<int64_t>{90, 7, 42, 5, 6}}) {
        const std::vector<float> z = spoilt.in_steps(*backend, steps);
        const auto after = static_cast<size_t>((30 + window - 1) * width);
        EXPECT_TRUE(same_bits(std::span(z).subspan(after), std::span(want).subspan(after)))
            << bad << " in " << dtype_name(dtype);
        EXPECT_FALSE(same_bits(std::span(z).subspan(after - width, width),
                               std::span(want).subspan(after - width, width)));
      }
    }
  }
}

VITRINE_FOR_EACH_BACKEND(AttentionTest);

}  // namespace
}  // namespace vitrine::testing
