// SPDX-License-Identifier: MIT
#include "cli/attention/attention_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/heat.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// Values of the result that are not finite.
int64_t lost_of(const Result& result) {
  const auto count = [](const auto& values) {
    return std::ranges::count_if(values, [](auto value) { return !std::isfinite(value); });
  };
  const Column& values = leaves(result).back().field->values;
  if (const auto* floats = std::get_if<std::vector<float>>(&values)) return count(*floats);
  return count(std::get<std::vector<double>>(values));
}

}  // namespace

std::string draw_queries(const Result& result, const Terminal& out) {
  std::string text;
  for (const Panel& each : result.panels) {
    const HeatPanel& panel = std::get<HeatPanel>(each);
    text += (text.empty() ? "" : "\n") + out.paint(Style::kTitle, panel.title) + "\n" +
            draw_heat(panel, out);
  }
  const int64_t lost = lost_of(result);
  if (lost == 0) return text;
  return text +
         out.paint(Style::kBad, fmt::format("{} {} not finite", thousands(lost),
                                            lost == 1 ? "value is" : "values are")) +
         "\n";
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
