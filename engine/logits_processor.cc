// SPDX-License-Identifier: MIT
#include "engine/logits_processor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/check.h"

namespace vitrine::internal {
namespace {

constexpr float kExcluded = -std::numeric_limits<float>::infinity();

/// A row of scores and its tokens that are not excluded yet.
class Candidates {
 public:
  explicit Candidates(std::span<const float> scores) : scores_(scores) {
    for (size_t id = 0; id < scores.size(); ++id) {
      if (scores[id] > kExcluded) ids_.push_back(static_cast<int32_t>(id));
    }
    highest_ = score(*std::max_element(ids_.begin(), ids_.end(),
                                       [&](int32_t a, int32_t b) { return score(a) < score(b); }));
  }

  const std::vector<int32_t>& ids() const { return ids_; }

  /// The k best; those that equal the last of them stay.
  void keep_top_k(int k) {
    if (k <= 0 || static_cast<size_t>(k) >= ids_.size()) return;
    std::vector<int32_t> order = ids_;
    std::nth_element(order.begin(), order.begin() + (k - 1), order.end(),
                     [&](int32_t a, int32_t b) { return score(a) > score(b); });
    const float lowest = score(order[static_cast<size_t>(k) - 1]);
    std::erase_if(ids_, [&](int32_t id) { return score(id) < lowest; });
  }
  /// The best until their probability reaches p; the token that crosses it stays.
  void keep_top_p(float p) {
    if (p >= 1.0f) return;
    std::stable_sort(ids_.begin(), ids_.end(),
                     [&](int32_t a, int32_t b) { return score(a) > score(b); });
    keep_mass(p);
  }
  /// Those at least p times as probable as the best.
  void keep_min_p(float p) {
    std::erase_if(ids_, [&](int32_t id) { return weight(id) < static_cast<double>(p); });
  }
  /// Those whose surprisal is closest to the entropy, until their probability reaches p; others as
  /// close as the last of them stay.
  void keep_typical(float p) {
    if (p >= 1.0f) return;
    const double mass = total(), log_mass = std::log(mass);
    const auto surprisal = [&](int32_t id) {
      return log_mass - (static_cast<double>(score(id)) - highest_);
    };
    double entropy = 0;
    for (const int32_t id : ids_) entropy += weight(id) / mass * surprisal(id);
    const auto distance = [&](int32_t id) { return std::abs(surprisal(id) - entropy); };
    std::stable_sort(ids_.begin(), ids_.end(),
                     [&](int32_t a, int32_t b) { return distance(a) < distance(b); });
    const std::vector<int32_t> all = ids_;
    keep_mass(p);
    const double farthest = distance(ids_.back());
    for (size_t i = ids_.size(); i < all.size() && distance(all[i]) <= farthest; ++i)
      ids_.push_back(all[i]);
  }

 private:
  float score(int32_t id) const { return scores_[static_cast<size_t>(id)]; }
  /// A probability, relative to the best token's.
  double weight(int32_t id) const { return std::exp(static_cast<double>(score(id)) - highest_); }
  double total() const {
    double sum = 0;
    for (const int32_t id : ids_) sum += weight(id);
    return sum;
  }
  /// The first in their order, until their probability reaches p.
  void keep_mass(float p) {
    const double wanted = static_cast<double>(p) * total();
    double before = 0;
    size_t count = 0;
    for (; count < ids_.size() && (count == 0 || before < wanted); ++count)
      before += weight(ids_[count]);
    ids_.resize(count);
  }

  std::span<const float> scores_;
  std::vector<int32_t> ids_;
  double highest_ = 0;
};

/// Whether `word` but its last token ends `prompt` followed by `fresh`.
bool may_complete(const std::vector<int32_t>& word, std::span<const int32_t> prompt,
                  std::span<const int32_t> fresh) {
  if (word.size() - 1 > prompt.size() + fresh.size()) return false;
  for (size_t back = 1; back < word.size(); ++back) {
    const int32_t before = back <= fresh.size() ? fresh[fresh.size() - back]
                                                : prompt[prompt.size() + fresh.size() - back];
    if (word[word.size() - 1 - back] != before) return false;
  }
  return true;
}

/// As LogitStatsArgs has it: no NaN, no positive infinity, one finite.
bool is_distribution(std::span<const float> row) {
  float highest = kExcluded;
  for (const float x : row) {
    if (!(x < std::numeric_limits<float>::infinity())) return false;
    highest = std::max(highest, x);
  }
  return highest > kExcluded;
}

}  // namespace

bool LogitsProcessor::filters() const {
  const SamplingOptions& s = options_.sampling;
  return s.temperature > 0 && (s.min_p > 0 || s.typical_p < 1);
}

std::string LogitsProcessor::needed_by() const {
  const SamplingOptions& s = options_.sampling;
  if (s.repetition_penalty != 1) return "repetition_penalty";
  if (s.presence_penalty != 0) return "presence_penalty";
  if (s.frequency_penalty != 0) return "frequency_penalty";
  if (!options_.bad_words.empty()) return "bad_words";
  if (options_.min_new_tokens > 0 && !options_.stop_ids.empty()) return "min_new_tokens";
  if (options_.min_length > 0 && !options_.stop_ids.empty()) return "min_length";
  if (!filters()) return "";
  return s.min_p > 0 ? "min_p" : "typical_p";
}

SamplingOptions LogitsProcessor::remaining() const {
  if (!filters()) return options_.sampling;
  return {.temperature = 1.0f};
}

void LogitsProcessor::penalise(std::span<float> logits, std::span<const int32_t> prompt,
                               std::span<const int32_t> fresh) const {
  const SamplingOptions& s = options_.sampling;
  if (s.repetition_penalty != 1) {
    std::set<int32_t> seen(prompt.begin(), prompt.end());
    seen.insert(fresh.begin(), fresh.end());
    for (const int32_t id : seen) {
      float& logit = logits[static_cast<size_t>(id)];
      logit = logit < 0 ? logit * s.repetition_penalty : logit / s.repetition_penalty;
    }
  }
  if (s.presence_penalty == 0 && s.frequency_penalty == 0) return;
  std::map<int32_t, int> counts;
  for (const int32_t id : fresh) ++counts[id];
  for (const auto& [id, count] : counts)
    logits[static_cast<size_t>(id)] -=
        static_cast<float>(count) * s.frequency_penalty + s.presence_penalty;
}

void LogitsProcessor::exclude(std::span<float> logits, std::span<const int32_t> prompt,
                              std::span<const int32_t> fresh) const {
  for (const std::vector<int32_t>& word : options_.bad_words) {
    if (may_complete(word, prompt, fresh)) logits[static_cast<size_t>(word.back())] = kExcluded;
  }
  if (std::ssize(fresh) >= options_.min_new_tokens &&
      std::ssize(prompt) + std::ssize(fresh) >= options_.min_length)
    return;
  for (const int32_t id : options_.stop_ids) logits[static_cast<size_t>(id)] = kExcluded;
}

void LogitsProcessor::filter(std::span<float> logits) const {
  const SamplingOptions& s = options_.sampling;
  std::vector<float> scores(logits.begin(), logits.end());
  for (float& score : scores) score /= s.temperature;
  if (!is_distribution(scores)) {  // scores overflow: the best token stays alone
    const auto best = std::max_element(logits.begin(), logits.end());
    std::fill(logits.begin(), best, kExcluded);
    std::fill(best + 1, logits.end(), kExcluded);
    return;
  }
  Candidates kept(scores);
  kept.keep_top_k(s.top_k);
  kept.keep_top_p(s.top_p);
  kept.keep_min_p(s.min_p);
  kept.keep_typical(s.typical_p);
  std::fill(logits.begin(), logits.end(), kExcluded);
  for (const int32_t id : kept.ids())
    logits[static_cast<size_t>(id)] = scores[static_cast<size_t>(id)];
}

void LogitsProcessor::apply(std::span<float> logits, std::span<const int32_t> prompt,
                            std::span<const int32_t> fresh) const {
  if (!is_distribution(logits)) return;
  penalise(logits, prompt, fresh);
  exclude(logits, prompt, fresh);
  if (!is_distribution(logits)) {
    if (*std::max_element(logits.begin(), logits.end()) == kExcluded)
      user_error("no token is left at new token {}: expected fewer `bad_words` or stop ids",
                 fresh.size());
    user_error("a penalty makes a logit infinite at new token {}: expected smaller penalties",
               fresh.size());
  }
  if (filters()) filter(logits);
}

}  // namespace vitrine::internal
