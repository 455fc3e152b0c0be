// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/analysis/answer_tokens.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/model.h"

namespace vitrine {

// Patching and attribution over many pairs of prompts: what one pair shows may be its own.

/// A clean and a corrupt prompt with the answers that its metric compares.
struct PatchPair {
  std::vector<int32_t> clean = {};
  std::vector<int32_t> corrupt = {};  ///< of the same length, unless there is an alignment
  AnswerTokens answer = {};  ///< empty: the model's top-ranked token after the clean prompt
  AnswerTokens wrong = {};   ///< for PatchMetric::Kind::kLogitDifference only
  std::string name = {};     ///< what errors call the pair: "pairs.jsonl:3"; empty: "pair 3"
};

/// A pair from a JSON object: "clean", "corrupt" (a text or a list of ids), "answer", "wrong" (a
/// token as text or id, or a list of them; "answers" and "wrongs" are the same). `name`: of the
/// pair. Throws Error (user) naming the pair for one that is not such an object or has another
/// field.
PatchPair parse_pair(std::string_view json, const std::string& name, const Model& model);
/// The pairs of a file, one a line; "-" is standard input. Throws Error (user) as parse_pair()
/// does, and for a file that cannot be read or holds none.
std::vector<PatchPair> read_pairs(const std::string& path, const Model& model);

/// Statistics over pairs. Each member has a statistic of each number in that number's place; axes,
/// and what is not a number, are those of the first pair.
template <typename Found>
struct OverPairs {
  int64_t pairs = 0;
  Found mean = {};            ///< `work` is the sum
  Found standard_error = {};  ///< of the mean: deviation / sqrt(pairs); NaN for one pair
  Found deviation = {};       ///< between pairs, with the divisor pairs - 1; NaN for one pair
};

/// Whether some pair has wrong answers: then all need them.
bool have_wrong_answers(std::span<const PatchPair> pairs);

/// patch() of each pair, with its own answers for those of `options.metric` and effects on its own
/// scale. Progress counts pairs. All pairs are checked before the first one runs. Throws Error
/// (user) as patch() does, naming the pair; for no pairs; for wrong answers that are missing or not
/// used by the metric; and for prompts of different lengths if columns are positions.
OverPairs<Patching> patch_pairs(const Model& model, std::span<const PatchPair> pairs,
                                const PatchOptions& options);
/// The same with path_patch().
OverPairs<PathPatching> path_patch_pairs(const Model& model, std::span<const PatchPair> pairs,
                                         const PathOptions& options);

struct AttributedPairs {
  OverPairs<LogitAttribution> clean;  ///< contributions in the clean prompts
  /// Clean less corrupt, pair by pair; nullopt if no pair has a corrupt prompt.
  std::optional<OverPairs<LogitAttribution>> difference;
};

/// logit_attribution() of each pair's answers less its wrong answers, in both prompts. Progress
/// counts pairs. Throws Error (user) as logit_attribution() does, naming the pair; for no pairs;
/// for prompts of a pair of different lengths; for wrong answers or corrupt prompts of some pairs
/// only; and for `target`, `against` and `neurons`, which are of one text.
AttributedPairs attribute_pairs(const Model& model, std::span<const PatchPair> pairs,
                                const AttributionOptions& options = {});

}  // namespace vitrine
