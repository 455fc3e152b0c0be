// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "report/figures/figure.h"
#include "report/page.h"
#include "report/pages/concept_layout.h"
#include "report/pages/factor_shares.h"
#include "report/token_table.h"
#include "vitrine/analysis/factors.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int64_t kTokensInAPicture = 50;  // at most: columns whose labels are all there

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
      series.values.push_back(std::isfinite(there)
                                  ? there
                                  : std::nan(""));  // sets without any spread have an infinite d
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

std::vector<std::string> component_names(const Factors& result) {
  std::vector<std::string> names;
  for (int c = 0; c < result.components; ++c) names.push_back(std::to_string(c));
  return names;
}

/// The strengths at tokens [first, first + ids.size()).
HeatPanel strengths_panel(const Factors& result, int64_t first, std::span<const int32_t> ids,
                          double limit, const TokenTable& tokens) {
  HeatPanel panel{.title = {},
                  .row_name = "component",
                  .column_name = {},
                  .value_name = "strength",
                  .rows = component_names(result),
                  .columns = {},
                  .values = {},
                  .limit = limit};
  for (const int32_t id : ids) panel.columns.push_back(tokens.shown(id));
  for (int64_t c = 0; c < result.components; ++c) {
    const auto from = result.strengths.begin() + c * result.tokens + first;
    panel.values.insert(panel.values.end(), from, from + std::ssize(ids));
  }
  return panel;
}

HeatPanel layers_panel(const Factors& result) {
  HeatPanel panel{.title = "Where the components' neurons are",
                  .row_name = "component",
                  .column_name = "layer",
                  .value_name = "share of the squares of its weights",
                  .rows = component_names(result),
                  .columns = {},
                  .values = {}};
  for (const int layer : result.layers) panel.columns.push_back(std::to_string(layer));
  for (int c = 0; c < result.components; ++c) {
    const std::vector<double> shares = layer_shares(result, static_cast<size_t>(c));
    panel.values.insert(panel.values.end(), shares.begin(), shares.end());
  }
  panel.limit = largest_size(panel.values);
  return panel;
}

}  // namespace

std::string concept_figure(std::span<const ConceptDirection> results, FigureFormat format) {
  return draw_figure(results.empty() ? std::vector<Panel>() : concept_panels(results), format);
}

std::string factors_figure(const Factors& result, const PageSource& source, FigureFormat format) {
  check_factors(result);
  const TokenTable tokens(source.tokenizer);
  std::vector<Panel> panels;
  const double limit = largest_size(result.strengths);
  int64_t first = 0;
  for (const auto& text : result.texts) {
    // Pictures of one text are as wide as each other, but for a token.
    const int64_t pictures = (std::ssize(text) + kTokensInAPicture - 1) / kTokensInAPicture,
                  width = pictures > 0 ? (std::ssize(text) + pictures - 1) / pictures : 1;
    for (int64_t from = 0; from < std::ssize(text); from += width) {
      const auto piece = std::span(text).subspan(
          static_cast<size_t>(from), static_cast<size_t>(std::min(width, std::ssize(text) - from)));
      HeatPanel panel = strengths_panel(result, first + from, piece, limit, tokens);
      panel.title = from == 0 ? text_label(text, source) : fmt::format("from token {}", from);
      panels.emplace_back(std::move(panel));
    }
    first += std::ssize(text);
  }
  panels.emplace_back(layers_panel(result));
  return draw_figure(panels, format);
}

}  // namespace vitrine
