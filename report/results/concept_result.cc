// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "report/figures/figure.h"
#include "report/page.h"
#include "report/pages/concept_layout.h"
#include "report/results/results.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kTopElements = 50;
constexpr size_t kMaxPromptTokens = 2'000'000;

void check_directions(std::span<const ConceptDirection> results, const ConceptSubject& subject) {
  check_results(results.size(), "concept");
  for (const ConceptDirection& d : results) {
    if (d.positive_scores.size() != subject.positive.size() ||
        d.negative_scores.size() != subject.negative.size()) {
      user_error(
          "the direction at {} has scores of {} positive and {} negative prompts, its page has {} "
          "and {}: expected the prompts of the direction",
          d.site, d.positive_scores.size(), d.negative_scores.size(), subject.positive.size(),
          subject.negative.size());
    }
    if (d.direction.empty()) user_error("the direction at {} is empty", d.site);
  }
  if (!subject.steering.empty() && subject.steering.size() != results.size()) {
    user_error("{} command lines for {} directions: expected one per direction, or none",
               subject.steering.size(), results.size());
  }
  size_t tokens = 0;
  for (const Batch* set : {&subject.positive, &subject.negative}) {
    for (const auto& prompt : *set) tokens += prompt.size();
  }
  if (tokens > kMaxPromptTokens)
    user_error(
        "a concept page is limited to {} tokens of prompts, not {}: use fewer or shorter prompts",
        kMaxPromptTokens, tokens);
}

/// Places of the largest elements by size, largest first.
std::vector<int64_t> largest_elements(const std::vector<double>& direction) {
  std::vector<int64_t> places(direction.size());
  std::iota(places.begin(), places.end(), int64_t{0});
  const auto size = [&](int64_t place) { return std::abs(direction[static_cast<size_t>(place)]); };
  const auto end =
      places.begin() + static_cast<std::ptrdiff_t>(std::min(places.size(), kTopElements));
  // Not-a-number comes last, and equal ones in their own order.
  const auto before = [&](int64_t a, int64_t b) {
    const double x = std::isnan(size(a)) ? -1 : size(a), y = std::isnan(size(b)) ? -1 : size(b);
    return x != y ? x > y : a < b;
  };
  std::partial_sort(places.begin(), end, places.end(), before);
  places.erase(end, places.end());
  return places;
}

/// The largest elements of each direction, in a list as long as that of the widest one.
Table largest(std::span<const ConceptDirection> results, Axis& axis) {
  std::vector<std::vector<int64_t>> all;
  size_t longest = 0;
  for (const ConceptDirection& d : results)
    longest = std::max(longest, all.emplace_back(largest_elements(d.direction)).size());
  axis = {"top", numbered(longest), true};
  std::vector<int64_t> places;
  std::vector<double> values;
  for (size_t i = 0; i < results.size(); ++i) {
    axis.lengths.push_back(std::ssize(all[i]));
    for (const int64_t place : all[i])
      values.push_back(results[i].direction[static_cast<size_t>(place)]);
    all[i].resize(longest, -1);
    places.insert(places.end(), all[i].begin(), all[i].end());
    values.resize(places.size(), std::nan(""));
  }
  return {"largest", {"top"}, {{"element", std::move(places)}, {"value", std::move(values)}}};
}

/// Elements of one head, where the direction is of all heads of a site that has them; else 0.
int64_t head_width(const ConceptDirection& d, const Config& config) {
  for (const SiteInfo& info : kSites) {
    if (!info.per_layer || !d.site.ends_with(info.name)) continue;
    return site_width(info.shape, config) == std::ssize(d.direction)
               ? site_head_width(info.shape, config)
               : 0;
  }
  return 0;
}

double cosine(const ConceptDirection& a, const ConceptDirection& b) {
  const bool one_basis = a.site == b.site || (is_in_stream(a.site) && is_in_stream(b.site));
  if (!one_basis || a.direction.size() != b.direction.size())
    return std::numeric_limits<double>::quiet_NaN();
  const double product =
      std::inner_product(a.direction.begin(), a.direction.end(), b.direction.begin(), 0.0);
  return product / (a.norm * b.norm);
}

/// [sites, sites]
std::vector<double> cosines(std::span<const ConceptDirection> results) {
  std::vector<double> values;
  for (const ConceptDirection& row : results) {
    for (const ConceptDirection& column : results) values.push_back(cosine(row, column));
  }
  return values;
}

/// All prompts, the positive ones first; their tokens are in `lists`.
Table prompts_table(const ConceptSubject& subject, const PageSource& source,
                    std::vector<Axis>& lists) {
  std::vector<std::string> sets, texts;
  std::vector<int64_t> lengths;
  TokenIds tokens;
  for (const Batch* prompts : {&subject.positive, &subject.negative}) {
    for (const auto& prompt : *prompts) {
      sets.emplace_back(prompts == &subject.positive ? "positive" : "negative");
      texts.push_back(text_label(prompt, source));
      lengths.push_back(std::ssize(prompt));
      tokens.ids.insert(tokens.ids.end(), prompt.begin(), prompt.end());
    }
  }
  lists = {{"length", std::move(lengths)}, {"token", std::move(tokens)}};
  return {"prompts", {"prompt"}, {{"set", std::move(sets)}, {"text", std::move(texts)}}};
}

Table sites_table(std::span<const ConceptDirection> results, Axis& top) {
  using Direction = ConceptDirection;
  const auto each = [&](double Direction::*value) {
    return column_of(results, [value](const Direction& d) { return d.*value; });
  };
  std::vector<double> scores;
  for (const Direction& d : results) {
    scores.insert(scores.end(), d.positive_scores.begin(), d.positive_scores.end());
    scores.insert(scores.end(), d.negative_scores.begin(), d.negative_scores.end());
  }
  return {
      "sites",
      {"site"},
      {{"norm", each(&Direction::norm)},
       {"activation_norm", each(&Direction::activation_norm)},
       {"cohens_d", each(&Direction::cohens_d)},
       {"auc", each(&Direction::auc)},
       {"accuracy", each(&Direction::accuracy)},
       {"width",
        column_of(results, [](const Direction& d) -> int64_t { return std::ssize(d.direction); })},
       {"direction",
        column_of(results, [](const Direction& d) { return JsonValue(d.direction); })}},
      {{"scores", {"prompt"}, {{"", std::move(scores)}}}, largest(results, top)}};
}

LinesPanel concept_lines(std::span<const ConceptDirection> results, const ConceptLayout& layout,
                         const std::string& name, double ConceptDirection::*value) {
  LinesPanel panel{.title = fmt::format("Separation of held-out prompts: {}", name),
                   .x_name = "layer",
                   .y_name = name,
                   .x = layout.x,
                   .series = {}};
  for (size_t l = 0; l < layout.lines.size(); ++l) {
    LinesPanel::Series series{.name = layout.lines[l], .values = {}};
    for (size_t i = 0; i < layout.x.size(); ++i) {
      const int32_t site = layout.sites[l * layout.x.size() + i];
      const double there = site < 0 ? std::nan("") : results[static_cast<size_t>(site)].*value;
      series.values.push_back(std::isfinite(there) ? there
                                                   : std::nan(""));  // an infinite d is a gap
    }
    panel.series.push_back(std::move(series));
  }
  return panel;
}

/// Of sites at one depth, where lines would be single dots.
BarsPanel concept_bars(std::span<const ConceptDirection> results) {
  BarsPanel panel{.title = "Separation of held-out prompts: AUC", .value_name = "AUC", .bars = {}};
  for (const ConceptDirection& d : results) panel.bars.push_back({d.site, d.auc});
  return panel;
}

std::vector<Panel> concept_panels(std::span<const ConceptDirection> results) {
  const ConceptLayout layout = concept_layout(results);
  std::vector<Panel> panels;
  if (layout.x.size() > 1) {
    LinesPanel auc = concept_lines(results, layout, "AUC", &ConceptDirection::auc);
    auc.shares = true;
    panels.emplace_back(std::move(auc));
    panels.emplace_back(concept_lines(results, layout, "Cohen's d", &ConceptDirection::cohens_d));
  }
  if (layout.x.size() == 1 && results.size() > 1) panels.emplace_back(concept_bars(results));
  const ConceptDirection& best = results[layout.best];
  const std::string how = std::isnan(best.auc)
                              ? "not all prompts have a score"
                              : fmt::format("AUC {:.3f}, d {:.2f}", best.auc, best.cohens_d);
  panels.emplace_back(
      DotsPanel{.title = best.site + ": " + how,
                .value_name = "score of a held-out prompt",
                .zero_name = "midpoint",
                .rows = {{"positive", best.positive_scores}, {"negative", best.negative_scores}}});
  return panels;
}

}  // namespace

Result internal::concept_result(std::span<const ConceptDirection> results,
                                const ConceptSubject& subject, const PageSource& source) {
  check_directions(results, subject);
  const ConceptLayout layout = concept_layout(results);
  const std::vector<std::string> sites =
      column_of(results, [](const ConceptDirection& d) { return d.site; });
  Result result{
      .view = "concept",
      .title = "Concept direction",
      .help =
          "The mean of the positive prompts less the mean of the negative ones, as a "
          "direction. Each prompt was held out once: its score is its "
          "place along the direction that all others but its pair make, counted from the "
          "middle between their means.",
      .label = fmt::format("{} positive and {} negative prompts, {}", subject.positive.size(),
                           subject.negative.size(),
                           sites.size() == 1 ? sites[0] : fmt::format("{} sites", sites.size())),
      .facts = {{"pooling", concept_pooling_name(subject.pooling)}},
      .shown = {{"x", layout.x},
                {"lines", layout.lines},
                {"at", layout.sites},
                {"best", layout.best},
                {"head_widths", column_of(results,
                                          [&](const ConceptDirection& d) {
                                            return head_width(d, source.config);
                                          })},
                {"steering", subject.steering}},
      .axes = {{"site", sites},
               {"other", sites, true},
               {"prompt", numbered(subject.positive.size() + subject.negative.size())},
               {}},
      .cells = {"site", "prompt"}};
  if (!subject.note.empty()) result.label += ", " + printable(subject.note);
  result.tables.push_back(prompts_table(subject, source, result.lists));
  result.tables.push_back(sites_table(results, result.axes.back()));
  result.tables.push_back({"cosines", {"site", "other"}, {{"", cosines(results)}}});
  result.panels = concept_panels(results);
  for (const ConceptDirection& d : results) {
    const std::vector<float> direction(d.direction.begin(), d.direction.end());
    result.arrays.emplace_back(d.site, Tensor::from(direction));
  }
  return result;
}

std::string concept_page(std::span<const ConceptDirection> results, const ConceptSubject& subject,
                         const PageSource& source) {
  const Result found = concept_result(results, subject, source);
  return results_page({&found, 1}, source);
}

std::string concept_figure(std::span<const ConceptDirection> results, FigureFormat format) {
  return draw_figure(results.empty() ? std::vector<Panel>() : concept_panels(results), format);
}

}  // namespace vitrine
