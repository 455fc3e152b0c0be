// SPDX-License-Identifier: MIT
#include "vitrine/analysis/choices.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

/// Adds what the rows of logits say of the next tokens.
void add(const Model& model, TensorView logits, std::vector<int32_t> next, ChoiceScore& score) {
  const LogitStats stats = model.unembed(
      logits, {.final_layernorm = false, .rows_are_logits = true, .targets = std::move(next)});
  for (size_t i = 0; i < stats.lse.size(); ++i) {
    score.log_probabilities.push_back(static_cast<double>(stats.target_logits[i]) -
                                      static_cast<double>(stats.lse[i]));
    score.ranks.push_back(stats.target_ranks[i]);
  }
}

/// A pass with hooks at `logits` has a row for each token.
TensorView last_row(const TensorView& logits) {
  const TensorView row = logits.slice(logits.shape()[0] - 1);
  return {row.data(), row.dtype(), {1, row.shape()[0]}, row.residence()};
}

}  // namespace

double ChoiceScore::log_probability() const {
  return std::accumulate(log_probabilities.begin(), log_probabilities.end(), 0.0);
}

std::vector<ChoiceScore> score_choices(const Model& model, std::span<const int32_t> prompt,
                                       const Batch& choices, const Hooks& edits) {
  if (prompt.empty()) user_error("the prompt is empty: expected at least one token");
  if (choices.empty()) user_error("missing choice: expected at least one continuation");
  size_t longest = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].empty()) user_error("choice {} is empty: expected at least one token", i);
    longest = std::max(longest, choices[i].size());
  }
  const auto room = static_cast<int64_t>(prompt.size() + longest) - 1;  // no pass reads the last
  if (room > model.config().context)
    user_error("the prompt and its longest choice have {} tokens: expected at most {}", room + 1,
               model.config().context + 1);
  const HookPlan plan = model.compile(edits.only_edits());
  Session session = model.session(1, std::max<int64_t>(room, 1));
  const Run first = session.forward({{prompt.begin(), prompt.end()}}, plan,
                                    {.logits = LogitRows::kLast, .residence = Residence::kDevice});
  const TensorView last = last_row(first.logits());
  std::vector<ChoiceScore> scores(choices.size());
  Batch read;
  for (size_t i = 0; i < choices.size(); ++i) {
    add(model, last, {choices[i][0]}, scores[i]);
    read.emplace_back(choices[i].begin(), choices[i].end() - 1);
  }
  if (longest == 1) return scores;
  const Run run = session.fork(0, static_cast<int>(choices.size()))
                      .forward(read, plan, {.residence = Residence::kDevice});
  for (size_t i = 0; i < choices.size(); ++i) {
    if (read[i].empty()) continue;
    add(model, run.logits(static_cast<int>(i)), {choices[i].begin() + 1, choices[i].end()},
        scores[i]);
  }
  return scores;
}

}  // namespace vitrine
