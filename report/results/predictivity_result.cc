// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/predictivity.h"

namespace vitrine {
using namespace internal;
namespace {

/// "best", "not distinguishable", "lower", ...
std::string verdict(const PredictivityScore& score, bool best) {
  const Interval& difference = score.below_best_interval;
  if (best) return "best";
  if (std::isnan(difference.low)) return "no interval";
  if (difference.low > 0) return "lower";
  return difference.high < 0 ? "higher" : "not distinguishable";
}

/// The two ends of each interval.
template <typename Scores, typename Of>
Table intervals(const std::string& name, const Scores& scores, Of of) {
  std::vector<double> ends;
  for (const auto& score : scores) {
    const Interval& interval = of(score);
    ends.insert(ends.end(), {interval.low, interval.high});
  }
  return {name, {"bound"}, {{"", std::move(ends)}}};
}

/// The lists of all scores, one after the other.
template <typename Scores, typename Of>
Table lists(const std::string& name, const std::string& axis, const Scores& scores, Of of) {
  std::vector<double> all;
  for (const auto& score : scores) all.insert(all.end(), of(score).begin(), of(score).end());
  return {name, {axis}, {{"", std::move(all)}}};
}

Table score_table(const std::string& name, std::vector<std::string> axes,
                  const std::vector<PredictivityScore>& scores, std::vector<std::string> verdicts) {
  using Score = PredictivityScore;
  const auto of = [&](auto Score::*member) {
    return column_of(scores, [&](const Score& score) { return score.*member; });
  };
  return {name,
          std::move(axes),
          {{"layer", of(&Score::layer)},
           {"features", of(&Score::features)},
           {"r", of(&Score::r)},
           {"score", of(&Score::score)},
           {"below_best", of(&Score::below_best)},
           {"verdict", std::move(verdicts)},
           {"alphas", column_of(scores, [](const Score& s) { return JsonValue(s.alphas); })}},
          {intervals(
               "interval", scores, [](const Score& s) -> auto& { return s.interval; }),
           intervals(
               "below_best_interval", scores,
               [](const Score& s) -> auto& { return s.below_best_interval; }),
           lists(
               "subjects", "subject", scores, [](const Score& s) -> auto& { return s.subjects; }),
           lists(
               "neuroids", "neuroid", scores, [](const Score& s) -> auto& { return s.neuroids; })}};
}

Table control_table(const std::vector<PredictivityControl>& controls) {
  using Control = PredictivityControl;
  return {"control",
          {},
          {{"score", column_of(controls, [](const Control& c) { return c.score; })},
           {"advantage", column_of(controls, [](const Control& c) { return c.advantage; })}},
          {lists(
               "scores", "seed", controls, [](const Control& c) -> auto& { return c.scores; }),
           intervals(
               "interval", controls, [](const Control& c) -> auto& { return c.interval; }),
           intervals(
               "advantage_interval", controls,
               [](const Control& c) -> auto& { return c.advantage_interval; })}};
}

std::string in_words(const Predictivity& found, const std::vector<std::string>& labels,
                     const std::vector<std::string>& verdicts) {
  const PredictivityScore& best = found.sites[found.best];
  std::string text =
      fmt::format("best: {}, {} {:.3f}{}. ", best.name, found.ceiled ? "r / ceiling" : "r",
                  best.score, found.ceiled ? fmt::format(" (r {:.3f})", best.r) : "");
  std::vector<std::string> alike;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (verdicts[i] == "not distinguishable") alike.push_back(labels[i]);
  }
  if (labels.size() == 1) return text + "It is the only site.";
  if (std::isnan(best.below_best_interval.low))
    return text + "Without bootstrap draws, nothing says whether other sites differ from it.";
  if (alike.empty())
    return text + "Each other site is lower: no 95 % interval of a paired difference includes 0.";
  return text + fmt::format(
                    "Not distinguishable from it are {} of {} other sites, because the 95 % "
                    "interval of the paired difference includes 0: {}.",
                    alike.size(), labels.size() - 1, fmt::join(alike, ", "));
}

/// Scores by site, and what they are compared with.
LinesPanel panel(const Predictivity& found, const std::vector<std::string>& labels,
                 const std::vector<std::string>& verdicts) {
  LinesPanel::Series trained{.name = "trained", .values = {}},
      untrained{.name = "untrained", .values = {}};
  const auto add = [](LinesPanel::Series& series, double score, const Interval& interval) {
    series.values.push_back(score);
    series.low.push_back(interval.low);
    series.high.push_back(interval.high);
  };
  for (const PredictivityScore& site : found.sites) add(trained, site.score, site.interval);
  for (const PredictivityControl& control : found.controls)
    add(untrained, control.score, control.interval);
  const auto level = [&](const char* name, double value) {
    return LinesPanel::Series{.name = name, .values = std::vector(labels.size(), value)};
  };
  LinesPanel panel{.title = fmt::format("Predictivity of {} neuroids by {} stimuli", found.neuroids,
                                        found.stimuli),
                   .x_name = "site",
                   .y_name = found.ceiled ? "r / ceiling" : "r",
                   .x = labels,
                   .series = {std::move(trained)}};
  if (!found.controls.empty()) panel.series.push_back(std::move(untrained));
  panel.series.push_back(level("no model", found.baseline.score));
  if (found.ceiled) panel.series.push_back(level("ceiling", 1));
  panel.notes = column_of(verdicts, [](const std::string& verdict) -> std::string {
    return verdict == "best" ? "best" : verdict == "not distinguishable" ? "≈" : "";
  });
  if (std::ranges::find(panel.notes, "≈") != panel.notes.end())
    panel.x_name += " (≈: not distinguishable from the best)";
  return panel;
}

}  // namespace

Result internal::predictivity_result(const Predictivity& found) {
  check_results(found.sites.size(), "predictivity");
  const auto sites = column_of(found.sites, [](const PredictivityScore& s) { return s.name; });
  const std::vector<std::string> labels = site_labels(sites);
  std::vector<std::string> verdicts;
  for (size_t i = 0; i < sites.size(); ++i)
    verdicts.push_back(verdict(found.sites[i], i == found.best));
  Result result{
      .view = "predictivity",
      .title = "Neural predictivity",
      .help =
          "How well a layer's activations predict what was measured while people read the same "
          "texts: Pearson's r of predicted and held-out responses, the median over each "
          "subject's neuroids, then over subjects.",
      .label = fmt::format("{} stimuli in {} groups, {} neuroids of {} subject{}", found.stimuli,
                           found.groups, found.neuroids, found.subjects.size(),
                           found.subjects.size() == 1 ? "" : "s"),
      .facts = {{"stimuli", found.stimuli},
                {"groups", found.groups},
                {"cut", found.cut},
                {"ceiled", found.ceiled},
                {"constant", found.constant},
                {"best", sites[found.best]},
                {"in_words", in_words(found, labels, verdicts)}},
      .axes = {{"site", sites},
               {"subject", found.subjects},
               {"neuroid", found.neuroid_names},
               {"stimulus", numbered(found.folds.size()), true},
               {"bound", std::vector<std::string>{"low", "high"}, true}},
      .tables = {{.name = "subjects", .axes = {"subject"}},
                 {.name = "neuroids", .axes = {"neuroid"}},
                 {"neuroid_subjects", {"neuroid"}, {{"", found.neuroid_subjects}}},
                 {"folds", {"stimulus"}, {{"", found.folds}}}}};
  if (found.ceiled) result.help += " Scores are shares of the ceiling.";
  Table baseline = score_table("baseline", {}, {found.baseline}, {verdict(found.baseline, false)});
  baseline.fields.push_back({"name", std::vector{found.baseline.name}});
  result.tables.push_back({.name = "", .parts = {std::move(baseline)}});
  result.tables.push_back(score_table("sites", {"site"}, found.sites, verdicts));
  if (!found.controls.empty()) {
    result.axes.push_back({"seed", numbered(found.controls[0].scores.size()), true});
    result.tables.back().parts.push_back(control_table(found.controls));
  }
  result.panels.emplace_back(panel(found, labels, verdicts));
  return result;
}

std::string predictivity_page(const Predictivity& found, const PageSource& source) {
  const Result result = predictivity_result(found);
  return results_page({&result, 1}, source);
}

std::string predictivity_figure(const Predictivity& found, FigureFormat format) {
  const Result result = predictivity_result(found);
  return results_figure({&result, 1}, format);
}

}  // namespace vitrine
