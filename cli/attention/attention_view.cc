// SPDX-License-Identifier: MIT
#include "cli/attention/attention_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/core/heat.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// A line that says how many values are not finite; empty if all are.
std::string lost(size_t count, const Terminal& out) {
  if (count == 0) return "";
  return out.paint(Style::kBad,
                   fmt::format("{} {} not finite", thousands(static_cast<int64_t>(count)),
                               count == 1 ? "value is" : "values are")) +
         "\n";
}

/// A grid over the input tokens. Cells that a query cannot see are empty.
class Grid {
 public:
  Grid(std::string corner, std::span<const int32_t> ids, const Names& names) {
    heat_.row_name = std::move(corner);
    heat_.limit = 0;
    for (const int32_t id : ids) heat_.columns.push_back(names.shown(id));
  }

  template <typename T>
  void add(std::string label, std::span<const T> row, int64_t query) {
    heat_.rows.push_back(std::move(label));
    for (size_t j = 0; j < row.size(); ++j) {
      const bool seen = static_cast<int64_t>(j) <= query;
      const auto value = static_cast<double>(row[j]);
      heat_.values.push_back(seen ? value : std::numeric_limits<double>::quiet_NaN());
      if (!seen) continue;
      if (std::isfinite(value))
        heat_.limit = std::max(heat_.limit, value);
      else
        ++lost_;
    }
  }

  std::string draw(const Terminal& out) const { return draw_heat(heat_, out) + lost(lost_, out); }

 private:
  HeatPanel heat_;
  size_t lost_ = 0;  ///< values that are not finite
};

std::string legend(const Terminal& out) {
  return out.paint(Style::kDim, "cells: percent of the row") + "\n";
}

std::string query_label(std::span<const int32_t> ids, int64_t query, const Names& names) {
  return fmt::format("{} {}", query, names.shown(ids[static_cast<size_t>(query)]));
}

std::string from(std::span<const int32_t> ids, int64_t query, const Names& names) {
  return fmt::format("from position {}, {}\n", query, names.shown(ids[static_cast<size_t>(query)]));
}

}  // namespace

std::string draw_maps(const AttentionMaps& maps, const Names& names, const Terminal& out) {
  const bool one = maps.queries.size() == 1;
  std::string text;
  Grid heads("head", maps.ids, names);
  for (size_t l = 0; l < maps.layers.size(); ++l) {
    for (size_t h = 0; h < maps.heads.size(); ++h) {
      const std::string head = fmt::format("{}.{}", maps.layers[l], maps.heads[h]);
      Grid grid("query", maps.ids, names);
      for (size_t q = 0; q < maps.queries.size(); ++q) {
        const int64_t query = maps.queries[q];
        if (one)
          heads.add(head, maps.row(l, h, q), query);
        else
          grid.add(query_label(maps.ids, query, names), maps.row(l, h, q), query);
      }
      if (!one) text += out.paint(Style::kTitle, "head " + head) + "\n" + grid.draw(out) + "\n";
    }
  }
  if (one) text = from(maps.ids, maps.queries[0], names) + heads.draw(out);
  return text + legend(out);
}

std::string draw_relevance(const AttentionRelevance& relevance, const Names& names,
                           const Terminal& out) {
  const bool one = relevance.queries.size() == 1;
  std::string text;
  Grid layers("layer", relevance.ids, names);
  for (size_t l = 0; l < relevance.layers.size(); ++l) {
    Grid grid("query", relevance.ids, names);
    for (size_t q = 0; q < relevance.queries.size(); ++q) {
      const int64_t query = relevance.queries[q];
      if (one)
        layers.add(std::to_string(relevance.layers[l]), relevance.row(l, q), query);
      else
        grid.add(query_label(relevance.ids, query, names), relevance.row(l, q), query);
    }
    if (!one)
      text += out.paint(Style::kTitle, fmt::format("layer {}", relevance.layers[l])) + "\n" +
              grid.draw(out) + "\n";
  }
  if (one) text = from(relevance.ids, relevance.queries[0], names) + layers.draw(out);
  return text + legend(out);
}

std::string draw_heads(const HeadStatistics& statistics, const RepetitionScores& scores,
                       const Terminal& out) {
  std::string text =
      out.paint(Style::kDim,
                fmt::format("{:<8}{:>9}{:>10}{:>10}{:>10}{:>10}{:>11}{:>11}", "head", "entropy",
                            "distance", "current", "previous", "first", "duplicate", "induction")) +
      "\n";
  for (size_t l = 0; l < statistics.layers.size(); ++l) {
    for (size_t h = 0; h < statistics.heads.size(); ++h) {
      const size_t cell = statistics.cell(l, h);
      const auto share = [&](double value, size_t width) {
        return out.paint(heat_style(value), right(percent(value), width));
      };
      text += fmt::format(
          "{:<8}{:>9.3f}{:>10.2f}{}{}{}{}{}\n",
          fmt::format("{}.{}", statistics.layers[l], statistics.heads[h]), statistics.entropy[cell],
          statistics.distance[cell], share(statistics.current_token[cell], 10),
          share(statistics.previous_token[cell], 10), share(statistics.first_token[cell], 10),
          share(scores.duplicate_token[cell], 11), share(scores.induction[cell], 11));
    }
  }
  return text +
         out.paint(Style::kDim,
                   fmt::format("entropy in nats, distance in tokens, and attention to the current, "
                               "previous and first token: means over {} queries\n"
                               "duplicate, induction: {} sequences of {} random tokens, twice",
                               thousands(statistics.queries), scores.sequences, scores.length)) +
         "\n";
}

}  // namespace vitrine::cli
