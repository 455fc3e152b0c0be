// SPDX-License-Identifier: MIT
// The methods that take tokens away and look at what f loses. They run forward only.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/common/word_spans.h"
#include "analysis/saliency/steps.h"
#include "base/check.h"

namespace vitrine::internal {
namespace {

constexpr int kMostDraws = 1000000;

/// What Replacement kinds other than deletion put in a position's place; nothing for deletion.
class Mask {
 public:
  explicit Mask(const SaliencyWork& work) : work_(work) {
    if (!deletes())
      rows_ = replacement_rows(work.options.mask, work.model, work.result.ids.size(), "mask");
  }

  /// A step's input with these positions, ascending, masked. Throws Error (user) if nothing would
  /// be left.
  SaliencyInput apply(size_t step, std::span<const int64_t> positions) const {
    SaliencyInput input = work_.input(step);
    if (deletes()) {
      if (positions.size() == input.ids.size()) {
        user_error("cannot delete all {} tokens of the input: use zero, mean or a token as mask",
                   input.ids.size());
      }
      for (size_t i = positions.size(); i-- > 0;) input.ids.erase(input.ids.begin() + positions[i]);
      return input;
    }
    const int64_t width = work_.width();
    input.positions.assign(positions.begin(), positions.end());
    input.embeddings = Tensor(DType::kF32, {static_cast<int64_t>(positions.size()), width});
    for (size_t i = 0; i < positions.size(); ++i) {
      const std::span<const float> row = replacement_row(rows_, positions[i], width);
      std::copy(row.begin(), row.end(),
                input.embeddings.f32().begin() + static_cast<int64_t>(i) * width);
    }
    return input;
  }

 private:
  bool deletes() const { return work_.options.mask.kind == Replacement::Kind::kDelete; }

  const SaliencyWork& work_;
  Tensor rows_;
};

/// |b - a| / |a|
double relative_distance(std::span<const float> a, std::span<const float> b) {
  double distance = 0, length = 0;
  for (size_t d = 0; d < a.size(); ++d) {
    const double x = a[d], difference = static_cast<double>(b[d]) - x;
    distance += difference * difference;
    length += x * x;
  }
  return length > 0 ? std::sqrt(distance / length) : 0.0;
}

/// Sums what one kind of masks does, draw by draw.
class EffectSum {
 public:
  explicit EffectSum(size_t tokens) : scores_(tokens, 0.0), draws_(tokens, 0) {}

  void add(const SaliencyStep& step, std::span<const float> hidden, const SaliencyReading& masked,
           std::span<const int64_t> positions) {
    const double effect = step.value - masked.value;
    effects_.push_back(effect);
    log_prob_ += masked.log_prob - step.log_prob;
    rank_ += masked.rank;
    hidden_ += relative_distance(hidden, masked.hidden);
    for (const int64_t position : positions) {
      scores_[static_cast<size_t>(position)] += effect;
      ++draws_[static_cast<size_t>(position)];
    }
  }

  MaskingEffect effect() const {
    const auto n = static_cast<double>(effects_.size());
    MaskingEffect mean{.value = std::accumulate(effects_.begin(), effects_.end(), 0.0) / n,
                       .log_prob = log_prob_ / n,
                       .rank = rank_ / n,
                       .hidden = hidden_ / n};
    double squares = 0;
    for (const double effect : effects_) squares += (effect - mean.value) * (effect - mean.value);
    if (effects_.size() > 1) mean.standard_error = std::sqrt(squares / (n - 1) / n);
    return mean;
  }

  /// [n] the mean effect of the draws that masked the token.
  std::vector<double> scores() const {
    std::vector<double> means = scores_;
    for (size_t i = 0; i < means.size(); ++i) means[i] = draws_[i] > 0 ? means[i] / draws_[i] : 0.0;
    return means;
  }
  const std::vector<int32_t>& draws() const { return draws_; }

 private:
  std::vector<double> scores_, effects_;
  std::vector<int32_t> draws_;
  double log_prob_ = 0, rank_ = 0, hidden_ = 0;
};

void check_spans(const SpanOptions& options) {
  if (options.draws < 1 || options.draws > kMostDraws)
    user_error("invalid number of span occlusion draws {}: expected 1..{}", options.draws,
               kMostDraws);
  if (!(options.budget > 0 && options.budget <= 1)) {
    user_error("masking budget {} is out of range: expected > 0 and <= 1, such as 0.15",
               options.budget);
  }
  if (!(options.p > 0 && options.p < 1)) {
    user_error("span length parameter p = {} is out of range: expected > 0 and < 1, such as 0.2",
               options.p);
  }
  if (options.longest < 1)
    user_error("maximum span of {} words is out of range: expected 1 or more", options.longest);
}

void compare_spans(SaliencyWork& work, size_t step, const Mask& mask,
                   std::span<const int64_t> words) {
  SaliencyStep& found = work.result.steps[step];
  const auto tokens = static_cast<size_t>(found.inputs);
  const auto draws = static_cast<size_t>(work.options.spans.draws);
  EffectSum spans(tokens), scattered(tokens);
  const auto positions = [&](size_t i) {
    MaskDraw draw = draw_masks(work.options.spans, words, found.inputs, static_cast<int>(i / 2));
    return i % 2 == 0 ? std::move(draw.spans) : std::move(draw.scattered);
  };
  work.runs.readings(
      2 * draws, [&](size_t i) { return mask.apply(step, positions(i)); },
      [&](size_t i, const SaliencyReading& masked) {
        (i % 2 == 0 ? spans : scattered).add(found, work.hidden[step], masked, positions(i));
      });
  const int64_t masked = std::accumulate(spans.draws().begin(), spans.draws().end(), int64_t{0});
  found.comparison = {.masked_tokens = static_cast<double>(masked) / static_cast<double>(draws),
                      .spans = spans.effect(),
                      .scattered = scattered.effect(),
                      .scattered_scores = scattered.scores(),
                      .span_draws = spans.draws(),
                      .scattered_draws = scattered.draws()};
  work.set(step, spans.scores());
}

}  // namespace

void occlusion(SaliencyWork& work) {
  const Mask mask(work);
  uint64_t total = 0;
  for (const SaliencyStep& step : work.result.steps) total += static_cast<uint64_t>(step.inputs);
  work.runs.expect(total, "Occlusion");
  for (size_t step = 0; step < work.result.steps.size(); ++step) {
    const SaliencyStep& found = work.result.steps[step];
    std::vector<double> effects(static_cast<size_t>(found.inputs));
    const auto make = [&](size_t i) {
      const auto position = static_cast<int64_t>(i);
      return mask.apply(step, {&position, 1});
    };
    work.runs.readings(effects.size(), make, [&](size_t i, const SaliencyReading& masked) {
      effects[i] = found.value - masked.value;
    });
    work.set(step, effects);
  }
}

void span_occlusion(SaliencyWork& work) {
  check_spans(work.options.spans);
  const Mask mask(work);
  const std::vector<int64_t> words =
      word_begins(work.model.shared_tokenizer().get(), work.result.ids);
  work.runs.expect(2 * work.result.steps.size() * static_cast<uint64_t>(work.options.spans.draws),
                   "Span occlusion");
  for (size_t step = 0; step < work.result.steps.size(); ++step) {
    const auto end = std::lower_bound(words.begin(), words.end(), work.result.steps[step].inputs);
    compare_spans(work, step, mask, std::span(words.begin(), end));
  }
}

}  // namespace vitrine::internal
