// SPDX-License-Identifier: MIT
#include "analysis/common/word_spans.h"

#include <algorithm>
#include <cmath>

#include "analysis/common/random_draws.h"

namespace vitrine::internal {
namespace {

bool is_of_a_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || c == '\'' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

std::vector<int64_t> draw_spans(const SpanOptions& options, std::span<const int64_t> words,
                                int64_t tokens, int64_t budget, Dice dice) {
  const auto end_of = [&](size_t word) {
    return word + 1 < words.size() ? words[word + 1] : tokens;
  };
  const auto size_of = [&](size_t word) { return end_of(word) - words[word]; };
  std::vector<bool> masked(words.size(), false);
  int64_t room = budget;
  // A first word longer than the budget is taken whole, so that no draw is empty.
  const auto fits = [&](size_t word) {
    return !masked[word] && (size_of(word) <= room || room == budget);
  };
  for (;;) {
    std::vector<size_t> open;
    for (size_t word = 0; room > 0 && word < words.size(); ++word) {
      if (fits(word)) open.push_back(word);
    }
    if (open.empty()) break;
    size_t word = open[dice.index(open.size())];
    for (int left = span_length(options, dice.unit());
         left > 0 && word < words.size() && fits(word); --left, ++word) {
      masked[word] = true;
      room -= size_of(word);
    }
  }
  std::vector<int64_t> positions;
  for (size_t word = 0; word < words.size(); ++word) {
    for (int64_t i = words[word]; masked[word] && i < end_of(word); ++i) positions.push_back(i);
  }
  return positions;
}

}  // namespace

// k = 1 .. longest with probability p (1 - p)^(k - 1), made to add up to 1: the inverse of the
// distribution function.
int span_length(const SpanOptions& options, double uniform) {
  const double at = uniform * (1 - std::pow(1 - options.p, options.longest));
  double below = 0;
  for (int k = 1; k < options.longest; ++k) {
    below += options.p * std::pow(1 - options.p, k - 1);
    if (at < below) return k;
  }
  return options.longest;
}

std::vector<int64_t> word_begins(const Tokenizer* tokenizer, std::span<const int32_t> ids) {
  std::vector<int64_t> begins;
  std::string before;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool known = tokenizer && ids[i] < tokenizer->vocab_size();
    std::string here = known ? tokenizer->token_bytes(ids[i]) : "";
    const bool goes_on = !before.empty() && !here.empty() && is_of_a_word(before.back()) &&
                         is_of_a_word(here.front());
    if (!goes_on) begins.push_back(static_cast<int64_t>(i));
    before = std::move(here);
  }
  return begins;
}

MaskDraw draw_masks(const SpanOptions& options, std::span<const int64_t> words, int64_t tokens,
                    int draw) {
  const uint64_t key = mix64(mix64(options.seed) + static_cast<uint64_t>(draw));
  const int64_t budget =
      std::max<int64_t>(1, std::llround(options.budget * static_cast<double>(tokens)));
  MaskDraw masks{.spans = draw_spans(options, words, tokens, budget, Dice(mix64(key)))};
  Dice dice(mix64(key + 1));
  const std::vector<size_t> scattered =
      dice.choose(static_cast<size_t>(tokens), masks.spans.size());
  masks.scattered.assign(scattered.begin(), scattered.end());
  std::sort(masks.scattered.begin(), masks.scattered.end());
  return masks;
}

}  // namespace vitrine::internal
