// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine {
using namespace internal;
namespace {

JsonValue interval_data(const Interval& interval) {
  return packed(std::vector<double>{interval.low, interval.high});
}

JsonValue score_data(const PredictivityScore& score) {
  return {{"name", score.name},
          {"layer", score.layer},
          {"features", score.features},
          // Packed, since JSON has no NaN.
          {"scores", packed(std::vector<double>{score.r, score.score})},
          {"interval", interval_data(score.interval)},
          {"subjects", packed(score.subjects)},
          {"neuroids", packed(score.neuroids)}};
}

JsonValue control_data(const PredictivityControl& control) {
  return {{"scores", packed(control.scores)},
          {"values", packed(std::vector<double>{control.score, control.advantage})},
          {"interval", interval_data(control.interval)},
          {"advantageInterval", interval_data(control.advantage_interval)}};
}

JsonValue texts(const std::vector<std::string>& names) {
  JsonValue json = JsonValue::array();
  for (const std::string& name : names) json.push_back(printable(name));
  return json;
}

}  // namespace

std::string predictivity_page(const Predictivity& result, const PageSource& source) {
  check_results(result.sites.size(), "predictivity");
  const TokenTable tokens(source.tokenizer);
  Page page{.kind = "predictivity",
            .title = "Neural predictivity",
            .subtitle = fmt::format("{} stimuli in {} groups, {} neuroids of {} subject{}",
                                    result.stimuli, result.groups, result.neuroids,
                                    result.subjects.size(), result.subjects.size() == 1 ? "" : "s"),
            .help =
                "How well a layer's activations predict what was measured while people read the "
                "same texts: Pearson's r of predicted and "
                "held-out responses, the median over each subject's neuroids, then over subjects."};
  if (result.ceiled) page.help += " Scores are shares of the ceiling.";
  JsonValue sites = JsonValue::array(), controls = JsonValue::array();
  for (const PredictivityScore& site : result.sites) sites.push_back(score_data(site));
  for (const PredictivityControl& control : result.controls)
    controls.push_back(control_data(control));
  page.results.push_back({{"label", page.subtitle},
                          {"ceiled", result.ceiled},
                          {"cut", result.cut},
                          {"best", result.best},
                          {"subjects", texts(result.subjects)},
                          {"neuroids", texts(result.neuroid_names)},
                          {"neuroidSubjects", texts(result.neuroid_subjects)},
                          {"constant", packed(result.constant)},
                          {"sites", std::move(sites)},
                          {"controls", std::move(controls)},
                          {"baseline", score_data(result.baseline)}});
  return render(page, tokens, source);
}

}  // namespace vitrine
