#include <cstring>
#include <limits>

#include "tests/kernels/harness.h"

namespace vitrine::testing {
namespace {

struct Tokens {
  int64_t rows, past;
};

// A batch of sequences with their caches: the past already appended, the new tokens' q, k, v packed.
class Problem {
 public:
  Problem(Backend& backend, std::mt19937& random, int heads, int width, std::vector<Tokens> tokens)
      : heads_(heads), width_(width), tokens_(std::move(tokens)) {
    const int64_t stride = 3 * channels();
    for (Tokens t : tokens_) {
      sequences_.push_back(normal(random, (t.past + t.rows) * stride));
      total_rows_ += t.rows;
    }
    std::vector<float> packed;
    for (size_t s = 0; s < tokens_.size(); ++s) {
      packed.insert(packed.end(), sequences_[s].begin() + tokens_[s].past * stride, sequences_[s].end());
    }
    qkv_.emplace_back(backend, packed, total_rows_, stride);
    fill_caches(backend);
  }

  int64_t channels() const { return static_cast<int64_t>(heads_) * width_; }
  int64_t rows() const { return total_rows_; }
  int64_t map_size() const { return map_size_; }
  const std::vector<Tokens>& tokens() const { return tokens_; }
  std::span<const SequenceSlice> slices() const { return slices_; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(width_)); }

  AttentionArgs args(Mat z) const {
    AttentionArgs result;
    result.q = qkv_[0].mat().columns(0, channels());
    result.heads = heads_;
    result.head_width = width_;
    result.scale = scale();
    result.batch = &batch_;
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
      slices_.push_back({row, t.rows, t.past, cache_bytes, t.past + t.rows + static_cast<int64_t>(s % 3) * 9, map_size_});
      cache_bytes += static_cast<int64_t>(backend.kv_bytes(slices_.back().capacity, heads_, width_, DType::kF32) + 63) & ~int64_t{63};
      row += t.rows;
      map_size_ += heads_ * t.rows * (t.past + t.rows);
    }
    const std::vector<float> poison(static_cast<size_t>(cache_bytes) / sizeof(float), std::numeric_limits<float>::quiet_NaN());
    cache_ = backend.allocate(static_cast<size_t>(cache_bytes));
    backend.upload(cache_.data(), poison.data(), static_cast<size_t>(cache_bytes));
    for (size_t s = 0; s < tokens_.size(); ++s) append_past(backend, s);
    placed_ = PlacedBatch(backend, slices_);
    batch_ = placed_.batch();
    const Mat qkv = qkv_[0];
    backend.append_kv(qkv.columns(channels(), channels()), qkv.columns(2 * channels(), channels()), heads_, width_, batch_, cache_.data());
  }

  void append_past(Backend& backend, size_t s) {
    const int64_t stride = 3 * channels(), past = tokens_[s].past;
    if (past == 0) return;
    const Matrix rows(backend, std::span(sequences_[s]).first(static_cast<size_t>(past * stride)), past, stride);
    const PlacedBatch before(backend, {{0, past, 0, slices_[s].cache, slices_[s].capacity, 0}});
    backend.append_kv(rows.mat().columns(channels(), channels()), rows.mat().columns(2 * channels(), channels()), heads_, width_,
                      before.batch(), cache_.data());
  }

  int heads_, width_;
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
      : z(backend, p.rows(), p.channels(), p.channels() + 7),
        scores(backend, 1, p.map_size()),
        pattern(backend, 1, p.map_size()),
        lse(backend, p.rows(), heads) {}
  Matrix z, scores, pattern, lse;
};

class AttentionTest : public KernelTest {
 protected:
  void check_against_oracle(int heads, int width, const std::vector<Tokens>& tokens) {
    SCOPED_TRACE(::testing::Message() << heads << " heads of " << width << ", first sequence " << tokens[0].rows << " + "
                                      << tokens[0].past);
    const Problem p(*backend, random, heads, width, tokens);
    const Result r(*backend, p, heads);
    AttentionArgs args = p.args(r.z);
    args.scores = r.scores.data();
    args.pattern = r.pattern.data();
    args.lse = r.lse;
    backend->attention(args);
    EXPECT_TRUE(r.z.untouched_outside() && r.scores.untouched_outside() && r.pattern.untouched_outside() &&
                r.lse.untouched_outside());
    for (size_t s = 0; s < tokens.size(); ++s) check_sequence(p, s, r, heads, width);
  }

  void check_sequence(const Problem& p, size_t s, const Result& r, int heads, int width) {
    const auto [rows, past] = p.tokens()[s];
    const int64_t total = past + rows;
    const SequenceSlice& slice = p.slices()[s];
    const Vec q = p.part(s, 0), k = p.part(s, 1), v = p.part(s, 2);
    const Vec scores = reference::attention_scores(q, k, rows, past, heads, width, static_cast<double>(p.scale()));
    const Vec pattern = reference::softmax(scores, total), lse = reference::log_sum_exp(scores, total);
    const Vec terms =
        reference::attention_scores(magnitudes(q), magnitudes(k), rows, past, heads, width, static_cast<double>(p.scale()));
    Vec score_tolerance, pattern_tolerance, lse_tolerance, lse_by_row;
    double worst_score = 0.0;
    for (double t : terms) score_tolerance.push_back(std::isinf(t) ? 0.0 : tolerance::kScores(width, t));
    for (double t : score_tolerance) worst_score = std::max(worst_score, t);
    for (double pr : pattern) pattern_tolerance.push_back(tolerance::kSoftmax(total, pr) + 2 * worst_score * pr);
    const auto at = static_cast<size_t>(slice.map), count = scores.size();
    EXPECT_TRUE(near(std::span<const float>(r.scores.values()).subspan(at, count), scores, score_tolerance));
    EXPECT_TRUE(near(std::span<const float>(r.pattern.values()).subspan(at, count), pattern, pattern_tolerance));
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t h = 0; h < heads; ++h) {
        lse_by_row.push_back(lse[static_cast<size_t>(h * rows + i)]);
        lse_tolerance.push_back(tolerance::kSoftmax(total, 1.0 + std::abs(lse_by_row.back())) + worst_score);
      }
    }
    const auto first_lse = static_cast<size_t>(slice.row * heads);
    EXPECT_TRUE(near(std::span<const float>(r.lse.values()).subspan(first_lse, lse_by_row.size()), lse_by_row, lse_tolerance));
    const Vec z_terms = reference::attention_mix(pattern, magnitudes(v), rows, total, heads, width);
    Vec z_tolerance;
    for (double t : z_terms)
      z_tolerance.push_back(tolerance::kMix(total, t) + tolerance::kSoftmax(total, t) + 2 * worst_score * t);
    const auto first_z = static_cast<size_t>(slice.row * p.channels());
    EXPECT_TRUE(near(std::span<const float>(r.z.values()).subspan(first_z, z_terms.size()),
                     reference::attention_mix(pattern, v, rows, total, heads, width), z_tolerance));
  }
};

TEST_P(AttentionTest, MatchesTheOracleForAnyHeadWidth) {
  for (int width : {1, 2, 15, 16, 17, 20, 64, 80, 100}) check_against_oracle(3, width, {{19, 0}});
}

TEST_P(AttentionTest, MatchesTheOracleForAnyLength) {
  for (int64_t rows : {1, 2, 5, 6, 7, 15, 16, 17, 31, 33, 47, 48, 49, 97}) check_against_oracle(2, 20, {{rows, 0}});
  if (!slow_build()) check_against_oracle(2, 64, {{300, 0}});
}

TEST_P(AttentionTest, MatchesTheOracleForRaggedBatchesWithPast) {
  check_against_oracle(4, 16, {{1, 0}, {7, 30}, {33, 1}, {1, 63}, {1, 100}, {50, 15}});
  check_against_oracle(12, 64, {{1, 130}, {2, 16}});
  check_against_oracle(1, 33, {{1, 5}});
}

TEST_P(AttentionTest, ComposedStepsAndTapsGiveTheSameBits) {
  for (int width : {20, 64}) {
    const int heads = 3;
    const Problem p(*backend, random, heads, width, {{50, 0}, {1, 33}, {17, 70}});
    const Result tapped(*backend, p, heads), bare(*backend, p, heads), composed(*backend, p, heads),
        no_pattern(*backend, p, heads);
    AttentionArgs args = p.args(bare.z);
    backend->attention(args);
    args.z = no_pattern.z;
    args.scores = no_pattern.scores.data();
    backend->attention(args);
    args.z = tapped.z;
    args.scores = tapped.scores.data();
    args.pattern = tapped.pattern.data();
    args.lse = tapped.lse;
    backend->attention(args);
    AttentionArgs steps = p.args(composed.z);
    steps.scores = composed.scores.data();
    steps.pattern = composed.pattern.data();
    backend->attention_scores(steps);
    backend->attention_softmax(steps);
    backend->attention_mix(steps);
    EXPECT_TRUE(same_bits(tapped.z.values(), bare.z.values()));
    EXPECT_TRUE(same_bits(no_pattern.z.values(), bare.z.values()));
    EXPECT_TRUE(same_bits(no_pattern.scores.values(), tapped.scores.values()));
    EXPECT_TRUE(same_bits(composed.scores.values(), tapped.scores.values()));
    EXPECT_TRUE(same_bits(composed.pattern.values(), tapped.pattern.values()));
    EXPECT_TRUE(same_bits(composed.z.values(), bare.z.values()));
    EXPECT_TRUE(composed.scores.untouched_outside() && composed.pattern.untouched_outside() && composed.z.untouched_outside());
  }
}

// The same tokens once as one pass, once as any split into cached passes: what a row of z is must not change.
TEST_P(AttentionTest, CachedAndRecomputedPassesGiveTheSameBits) {
  const int heads = 2, width = 24;
  const int64_t total = 90, channels = heads * width;
  const std::vector<float> tokens = normal(random, total * 3 * channels);
  const Matrix qkv(*backend, tokens, total, 3 * channels);
  std::vector<float> want;
  for (int64_t step : {90, 1, 2, 7, 16, 48, 61}) {
    const Matrix z(*backend, total, channels);
    const Buffer cache = backend->allocate(backend->kv_bytes(total, heads, width, DType::kF32));
    for (int64_t past = 0; past < total; past += step) {
      const int64_t rows = std::min(step, total - past);
      const PlacedBatch placed(*backend, {{0, rows, past, 0, total, 0}});
      const PassBatch batch = placed.batch();
      const Mat part = qkv.mat().row_range(past, rows);
      backend->append_kv(part.columns(channels, channels), part.columns(2 * channels, channels), heads, width, batch, cache.data());
      AttentionArgs args;
      args.q = part.columns(0, channels);
      args.heads = heads;
      args.head_width = width;
      args.scale = 0.2f;
      args.batch = &batch;
      args.cache = cache.data();
      args.z = z.mat().row_range(past, rows);
      backend->attention(args);
    }
    if (want.empty()) want = z.values();
    EXPECT_TRUE(same_bits(z.values(), want)) << "in steps of " << step;
  }
}

TEST_P(AttentionTest, ASequenceAloneEqualsItInABatchForAnyThreads) {
  const int heads = 3, width = 20;
  const Problem p(*backend, random, heads, width, {{40, 0}, {1, 33}, {1, 2}, {70, 12}});
  const Matrix together(*backend, p.rows(), p.channels());
  backend->attention(p.args(together));
  backend->synchronize();
  for (int threads : {1, 2, 3}) {
    const auto other = with_threads(threads);
    const Matrix alone(*other, p.rows(), p.channels());
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

// A NaN or infinity that an edit put into one token must not reach the tokens before it.
TEST_P(AttentionTest, TheFutureDoesNotLeak) {
  const int heads = 1, width = 16;
  const int64_t rows = 40, channels = width;
  std::vector<float> tokens = normal(random, rows * 3 * channels);
  std::vector<float> clean, spoilt;
  for (bool spoil : {false, true}) {
    if (spoil) std::fill(tokens.begin() + 20 * 3 * channels, tokens.end(), std::numeric_limits<float>::infinity());
    const Matrix qkv(*backend, tokens, rows, 3 * channels), z(*backend, rows, channels);
    const Buffer cache = backend->allocate(backend->kv_bytes(rows, heads, width, DType::kF32));
    const PlacedBatch placed(*backend, {{0, rows, 0, 0, rows, 0}});
    const PassBatch batch = placed.batch();
    backend->append_kv(qkv.mat().columns(channels, channels), qkv.mat().columns(2 * channels, channels), heads, width, batch,
                       cache.data());
    AttentionArgs args;
    args.q = qkv.mat().columns(0, channels);
    args.heads = heads;
    args.head_width = width;
    args.batch = &batch;
    args.cache = cache.data();
    args.z = z;
    backend->attention(args);
    (spoil ? spoilt : clean) = z.values();
  }
  const auto before = static_cast<size_t>(20 * channels);
  EXPECT_TRUE(same_bits(std::span(spoilt).first(before), std::span(clean).first(before)));
  EXPECT_TRUE(std::isnan(spoilt[before]));
}

VITRINE_FOR_EACH_BACKEND(AttentionTest);

}  // namespace
}  // namespace vitrine::testing
