// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "report/result.h"
#include "vitrine/analysis/pairs.h"

namespace vitrine::internal {

// What the results of patching, of one pair or over pairs, have in common.

/// What the kinds of experiments say differently.
struct Experiment {
  std::string mode, title, help;
  std::string effect;     ///< what an effect is
  bool shares = true;     ///< effects are shares of the way between the prompts
  bool of_clean = false;  ///< the clean prompt is the one that is run again
};

inline constexpr const char* kShareOfTheWay =
    "share of the way from the corrupt prompt's answer (0) to the clean one's (1)";

/// A result without cells and panels.
Result begun_patching(const Experiment& experiment, const PatchSubject& subject,
                      const PageSource& source);
/// A number, or over pairs its mean with standard errors and deviations.
struct Quantity {
  std::string name, unit;
  std::vector<double> values, errors = {}, deviations = {};
};
/// Metrics of whole runs, then what the cells took.
Table whole_runs(std::vector<Quantity> ends, const PatchWork& work);
/// Of the prompts of each pair.
template <typename Found>
std::vector<Quantity> ends_of_pairs(const OverPairs<Found>& found, const std::string& unit) {
  const auto end = [&](const char* name, double Found::*member) {
    return Quantity{name,
                    unit,
                    {found.mean.*member},
                    {found.standard_error.*member},
                    {found.deviation.*member}};
  };
  return {end("clean", &Found::clean), end("corrupt", &Found::corrupt)};
}
/// "logits", "nats"; empty for probabilities.
std::string metric_unit(PatchMetric::Kind kind);
/// Effects as what the prompt that is run again gains; without labels. No errors: of one pair.
HeatPanel effect_panel(const Experiment& experiment, const PatchSubject& subject,
                       const PageSource& source, const std::vector<double>& values,
                       const std::vector<double>& errors);

/// As a field of the table, or as a part of it with these axes and a field for each statistic.
void add_quantity(Table& table, Quantity quantity, std::vector<std::string> axes = {});
/// "+43 ±5" of each: hundredths, with their standard errors.
std::vector<std::string> hundredths(const std::vector<double>& values,
                                    const std::vector<double>& errors);

/// One token, or a list of several.
JsonValue answers_json(const AnswerTokens& tokens, const Names& names);
/// "␣London", "␣London, ␣Londres"
std::string answers_shown(const AnswerTokens& tokens, const Names& names);
/// "logit of ␣London less that of ␣Paris"; without answers, which are each pair's own, "logit of
/// the answer less that of the wrong one".
std::string metric_in_words(const PatchMetric& metric, const Names& names);

}  // namespace vitrine::internal
