// SPDX-License-Identifier: MIT
// What noise makes of a prompt, before any model sees it.

#include "analysis/noise/draws.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "analysis/common/random_draws.h"
#include "analysis/common/word_spans.h"
#include "base/check.h"
#include "base/quote.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int kMostRepetitions = 1000000;
constexpr std::array<std::string_view, kNoiseKinds> kNames = {
    "spans",          "scattered",      "token-masking",
    "token-deletion", "text-infilling", "sentence-permutation",
    "rotation"};

bool ends_sentence(std::string_view text) {
  constexpr std::array<std::string_view, 6> kClosing = {"\"", "'", ")", "]", "\u201d", "\u2019"};
  for (bool more = true; more;) {
    more = false;
    for (const std::string_view closing : kClosing) {
      if (!text.ends_with(closing)) continue;
      text.remove_suffix(closing.size());
      more = true;
    }
  }
  return text.ends_with('.') || text.ends_with('!') || text.ends_with('?');
}

bool begins_with_blank(std::string_view text) {
  return !text.empty() && (text[0] == ' ' || text[0] == '\n' || text[0] == '\t' || text[0] == '\r');
}

/// Builds a noised prompt token by token.
class Builder {
 public:
  Builder(std::span<const int32_t> ids, const Replacement& mask) : ids_(ids), mask_(mask) {}

  void keep(int64_t position) {
    prompt_.ids.push_back(ids_[static_cast<size_t>(position)]);
    prompt_.sources.push_back(position);
  }
  void keep(int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) keep(i);
  }
  /// Nothing, where the mask is deletion.
  void mask() {
    if (mask_.kind == Replacement::Kind::kDelete) return;
    prompt_.ids.push_back(mask_.kind == Replacement::Kind::kToken ? mask_.token : -1);
    prompt_.sources.push_back(-1);
  }
  /// Everything but `positions`, ascending, in whose places masks stand or nothing does.
  void keep_but(std::span<const int64_t> positions, bool masked) {
    for (int64_t i = 0; i < tokens(); ++i) {
      if (!std::binary_search(positions.begin(), positions.end(), i))
        keep(i);
      else if (masked)
        mask();
    }
  }
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  NoisedPrompt take() { return std::move(prompt_); }

 private:
  std::span<const int32_t> ids_;
  const Replacement& mask_;
  NoisedPrompt prompt_;
};

std::vector<int64_t> single_tokens(int64_t tokens, int64_t budget, Dice& dice) {
  const std::vector<size_t> chosen =
      dice.choose(static_cast<size_t>(tokens), static_cast<size_t>(budget));
  std::vector<int64_t> positions(chosen.begin(), chosen.end());
  std::sort(positions.begin(), positions.end());
  return positions;
}

void infill(Builder& builder, int64_t budget, double mean, Dice& dice) {
  std::vector<int64_t> lengths;
  for (int64_t room = budget; room > 0; room -= lengths.back())
    lengths.push_back(std::min(poisson_length(mean, dice.unit()), room));
  // Which of the gaps between the tokens that stay (before the first and after the last included) a
  // span was in.
  const int64_t kept = builder.tokens() - budget;
  const auto gaps = static_cast<size_t>(kept + 1);
  std::vector<size_t> gap_of;
  if (lengths.size() <= gaps) gap_of = dice.choose(gaps, lengths.size());
  while (gap_of.size() < lengths.size()) gap_of.push_back(dice.index(gaps));
  int64_t position = 0;
  for (int64_t gap = 0; gap <= kept; ++gap) {
    for (size_t span = 0; span < lengths.size(); ++span) {
      if (gap_of[span] != static_cast<size_t>(gap)) continue;
      builder.mask();
      position += lengths[span];
    }
    if (gap < kept) builder.keep(position++);
  }
}

void permute(Builder& builder, std::span<const int64_t> sentences, Dice& dice) {
  for (const size_t sentence : dice.choose(sentences.size(), sentences.size())) {
    builder.keep(sentences[sentence],
                 sentence + 1 < sentences.size() ? sentences[sentence + 1] : builder.tokens());
  }
}

MaskDraw span_draw(const NoiseOptions& options, std::span<const int64_t> words, int64_t tokens,
                   int repetition) {
  if (options.budget == 0) return {};
  const SpanOptions spans{
      .budget = options.budget, .p = options.p, .longest = options.longest, .seed = options.seed};
  return draw_masks(spans, words, tokens, repetition);
}

}  // namespace

std::string_view noise_kind_name(NoiseKind kind) { return kNames[static_cast<size_t>(kind)]; }

NoiseKind noise_kind_from_name(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end())
    user_error("unknown noise {}: expected one of {}", quote(name), fmt::join(kNames, ", "));
  return static_cast<NoiseKind>(found - kNames.begin());
}

std::vector<int64_t> sentence_begins(const Tokenizer* tokenizer, std::span<const int32_t> ids) {
  std::vector<int64_t> begins;
  bool ended = true;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool known = tokenizer && ids[i] >= 0 && ids[i] < tokenizer->vocab_size();
    const std::string text = known ? tokenizer->token_bytes(ids[i]) : "";
    if (i == 0 || (ended && begins_with_blank(text))) begins.push_back(static_cast<int64_t>(i));
    ended = ends_sentence(text);
  }
  return begins;
}

TextParts internal::parts_of(const Tokenizer* tokenizer, std::span<const int32_t> ids) {
  return {.words = word_begins(tokenizer, ids), .sentences = sentence_begins(tokenizer, ids)};
}

void internal::check_noise_options(const NoiseOptions& options) {
  if (options.repetitions < 1 || options.repetitions > kMostRepetitions) {
    user_error("invalid number of repetitions {}: expected 1..{}", options.repetitions,
               kMostRepetitions);
  }
  if (!(options.budget >= 0 && options.budget <= 1)) {
    user_error("noise budget {} is out of range: expected 0..1, such as 0.15", options.budget);
  }
  if (!(options.p > 0 && options.p < 1)) {
    user_error("span length parameter p = {} is out of range: expected > 0 and < 1, such as 0.2",
               options.p);
  }
  if (options.longest < 1)
    user_error("maximum span of {} words is out of range: expected 1 or more", options.longest);
  if (!(options.poisson >= 0.5 && options.poisson <= 100)) {
    user_error("mean length {} of text infilling is out of range: expected 0.5..100, such as 3",
               options.poisson);
  }
  if (options.batch_tokens < 1)
    user_error("batch_tokens {} is out of range: expected at least 1", options.batch_tokens);
}

int64_t internal::budget_tokens(double budget, size_t tokens) {
  if (budget == 0) return 0;
  return std::max<int64_t>(1, std::llround(budget * static_cast<double>(tokens)));
}

int64_t internal::poisson_length(double mean, double uniform) {
  double probability = std::exp(-mean), below = probability;
  int64_t length = 0;
  // The bound ends the sum where rounding keeps it below 1: it is 20 standard deviations above the
  // largest mean.
  for (; uniform >= below && length < 300; below += probability)
    probability *= mean / static_cast<double>(++length);
  return length;
}

NoisedPrompt noised_prompt(const Tokenizer* tokenizer, std::span<const int32_t> ids, NoiseKind kind,
                           int repetition, const NoiseOptions& options) {
  check_noise_options(options);
  return noised_prompt(parts_of(tokenizer, ids), ids, kind, repetition, options);
}

NoisedPrompt internal::noised_prompt(const TextParts& parts, std::span<const int32_t> ids,
                                     NoiseKind kind, int repetition, const NoiseOptions& options) {
  Builder builder(ids, options.mask);
  const int64_t tokens = builder.tokens(), budget = budget_tokens(options.budget, ids.size());
  Dice dice(mix64(mix64(mix64(options.seed) + static_cast<uint64_t>(repetition)) + 2 +
                  static_cast<uint64_t>(kind)));
  switch (kind) {
    case NoiseKind::kSpans:
      builder.keep_but(span_draw(options, parts.words, tokens, repetition).spans, true);
      break;
    case NoiseKind::kScattered:
      builder.keep_but(span_draw(options, parts.words, tokens, repetition).scattered, true);
      break;
    case NoiseKind::kTokenMasking:
      builder.keep_but(single_tokens(tokens, budget, dice), true);
      break;
    case NoiseKind::kTokenDeletion:
      builder.keep_but(single_tokens(tokens, budget, dice), false);
      break;
    case NoiseKind::kTextInfilling:
      infill(builder, budget, options.poisson, dice);
      break;
    case NoiseKind::kSentencePermutation:
      permute(builder, parts.sentences, dice);
      break;
    case NoiseKind::kRotation: {
      const auto first = static_cast<int64_t>(ids.empty() ? 0 : dice.index(ids.size()));
      builder.keep(first, tokens);
      builder.keep(0, first);
      break;
    }
  }
  return builder.take();
}

}  // namespace vitrine
