// SPDX-License-Identifier: MIT
// Folds, and the names of what there is to choose.

#include <algorithm>
#include <map>

#include "analysis/common/random_draws.h"
#include "base/check.h"
#include "base/quote.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine {
using namespace internal;
namespace {

/// 0 .. count - 1 in an order drawn from the seed.
std::vector<size_t> shuffled(size_t count, uint64_t seed) {
  return Dice(mix64(seed)).choose(count, count);
}

std::vector<int32_t> grouped_folds(std::span<const std::string> groups, int folds, uint64_t seed) {
  std::map<std::string_view, size_t> index;
  std::vector<size_t> group_of, sizes;
  for (const std::string& group : groups) {
    const size_t at = index.try_emplace(group, sizes.size()).first->second;
    if (at == sizes.size()) sizes.push_back(0);
    ++sizes[at];
    group_of.push_back(at);
  }
  if (sizes.size() < static_cast<size_t>(folds)) {
    user_error(
        "{} groups cannot be held out in {} folds: expected at most {} `folds`, or a "
        "`fold_kind` of shuffled",
        sizes.size(), folds, sizes.size());
  }
  std::vector<size_t> order = shuffled(sizes.size(), seed);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::vector<size_t> held(static_cast<size_t>(folds), 0);
  std::vector<int32_t> fold_of(sizes.size(), 0), result;
  for (const size_t group : order) {
    const auto fold = std::min_element(held.begin(), held.end());
    *fold += sizes[group];
    fold_of[group] = static_cast<int32_t>(fold - held.begin());
  }
  for (const size_t group : group_of) result.push_back(fold_of[group]);
  return result;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

}  // namespace

std::vector<int64_t> repeated_stimuli(std::span<const std::string> texts,
                                      std::span<const std::string> parts) {
  if (texts.size() != parts.size())
    user_error("{} texts have {} groups or folds: expected one per text", texts.size(),
               parts.size());
  std::map<std::string_view, std::pair<std::string_view, bool>> seen;  // first part, and others?
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto [it, first] = seen.try_emplace(trimmed(texts[i]), parts[i], false);
    it->second.second = it->second.second || it->second.first != parts[i];
  }
  std::vector<int64_t> repeated;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (seen.at(trimmed(texts[i])).second) repeated.push_back(static_cast<int64_t>(i));
  }
  return repeated;
}

std::string_view regression_name(Regression regression) {
  return regression == Regression::kRidge ? "ridge" : "ols";
}

Regression regression_from_name(std::string_view name) {
  if (name == "ridge") return Regression::kRidge;
  if (name == "ols") return Regression::kOls;
  user_error("unknown regression {}: expected ridge or ols", quote(name));
}

std::string_view alpha_choice_name(AlphaChoice choice) {
  return choice == AlphaChoice::kGcv ? "gcv" : "loo";
}

AlphaChoice alpha_choice_from_name(std::string_view name) {
  if (name == "gcv") return AlphaChoice::kGcv;
  if (name == "loo") return AlphaChoice::kLoo;
  user_error("unknown choice of alpha {}: expected gcv or loo", quote(name));
}

std::string_view fold_kind_name(FoldKind kind) {
  return kind == FoldKind::kGrouped ? "grouped" : "shuffled";
}

FoldKind fold_kind_from_name(std::string_view name) {
  if (name == "grouped") return FoldKind::kGrouped;
  if (name == "shuffled") return FoldKind::kShuffled;
  user_error("unknown kind of folds {}: expected grouped or shuffled", quote(name));
}

std::string_view stimulus_context_name(StimulusContext context) {
  return context == StimulusContext::kGroup ? "group" : "none";
}

StimulusContext stimulus_context_from_name(std::string_view name) {
  if (name == "group") return StimulusContext::kGroup;
  if (name == "none") return StimulusContext::kNone;
  user_error("unknown context {}: expected group or none", quote(name));
}

std::vector<int32_t> make_folds(std::span<const std::string> groups, int folds, FoldKind kind,
                                uint64_t seed) {
  if (folds < 2) user_error("invalid number of folds {}: expected at least two", folds);
  if (groups.size() < static_cast<size_t>(folds)) {
    user_error("{} stimuli cannot be held out in {} folds: use fewer `folds`", groups.size(),
               folds);
  }
  if (kind == FoldKind::kGrouped) return grouped_folds(groups, folds, seed);
  std::vector<int32_t> result(groups.size());
  const std::vector<size_t> order = shuffled(groups.size(), seed);
  for (size_t i = 0; i < order.size(); ++i)
    result[order[i]] = static_cast<int32_t>(i % static_cast<size_t>(folds));
  return result;
}

}  // namespace vitrine
