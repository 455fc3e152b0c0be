#include "cli/saliency_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cli/heat.h"

namespace vitrine::cli {
namespace {

/// A token's share with the sign of its score.
double signed_share(const Saliency& saliency, size_t step, size_t position) {
  const size_t cell = saliency.cell(step, position);
  return std::copysign(saliency.shares[cell], saliency.scores[cell]);
}

/// Of each input token of a step.
std::vector<double> signed_shares(const Saliency& saliency, size_t step) {
  std::vector<double> values;
  for (int64_t i = 0; i < saliency.steps[step].inputs; ++i) values.push_back(signed_share(saliency, step, static_cast<size_t>(i)));
  return values;
}

double largest(const std::vector<double>& values) {
  double size = 0;
  for (const double x : values) size = std::max(size, std::abs(x));
  return size;
}

std::string unit(const Saliency& saliency) {
  switch (saliency.value) {
    case SaliencyValue::kLogit: return "logit";
    case SaliencyValue::kLogProb: return "log-probability";
    case SaliencyValue::kProb: break;
  }
  return "probability";
}

std::string heading(const SaliencyPicture& p, const SaliencyStep& step) {
  std::string text = fmt::format("position {}: {}", step.inputs, p.names.shown(step.target));
  if (p.saliency.contrast) text += fmt::format(" rather than {}", p.names.shown(*p.saliency.contrast));
  text += fmt::format(", rank {}, {}, logit {:.3f}", thousands(step.rank), percent(std::exp(step.log_prob)), step.logit);
  if (p.saliency.contrast) text += fmt::format("; difference of {} {:.4g}", unit(p.saliency), step.value);
  return text + "\n";
}

std::string table(const SaliencyPicture& p, size_t step, size_t top_k) {
  constexpr size_t kToken = 16;
  const size_t bar_width = p.out.width() >= 90 ? 24 : 12;
  const SaliencyStep& s = p.saliency.steps[step];
  const std::vector<double> values = signed_shares(p.saliency, step);
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return std::abs(values[a]) > std::abs(values[b]); });
  const bool spans = s.comparison.has_value();
  std::string text = p.out.paint(Style::kDim, fmt::format("{:>8}  {}  {:>8}  {}  {:>12}{}", "position", left("token", kToken), "share", left("", bar_width), "score",
                                                          spans ? "     scattered  draws of either" : "")) + "\n";
  const double full = largest(values);
  double rest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t at = order[i], cell = p.saliency.cell(step, at);
    if (i >= top_k) {
      rest += p.saliency.shares[cell];
      continue;
    }
    const std::string numbers = fmt::format("{}  {:>8}  {}  {:>+#12.4g}", left(p.names.shown(p.saliency.ids[at]), kToken), percent(p.saliency.shares[cell]),
                                            bar(full > 0 ? p.saliency.shares[cell] / full : 0.0, bar_width), p.saliency.scores[cell]);
    text += fmt::format("{:>8}  {}", at, p.out.paint(heat_style(full > 0 ? values[at] / full : 0.0), numbers));
    if (spans) text += fmt::format("  {:>+#12.4g}  {:>6} {:>8}", s.comparison->scattered_scores[at], s.comparison->span_draws[at], s.comparison->scattered_draws[at]);
    text += "\n";
  }
  if (order.size() > top_k) text += p.out.paint(Style::kDim, fmt::format("{} more tokens have {} together", order.size() - top_k, percent(rest))) + "\n";
  return text;
}

std::string completeness(const SaliencyPicture& p, const SaliencyStep& step) {
  const Completeness& c = *step.completeness;
  return p.out.paint(Style::kDim, fmt::format("scores add up to the input's {:.5g} less the baseline's {:.5g} but for {:.2g} ({:.2g} of it)", step.value, c.baseline_value,
                                              c.gap, c.relative_gap)) + "\n";
}

std::string comparison(const SaliencyPicture& p, const SaliencyStep& step) {
  const SpanComparison& c = *step.comparison;
  std::string text = p.out.paint(Style::kDim, fmt::format("{}  {:>22}  {:>22}", left(fmt::format("{:.2f} tokens masked, means over the draws", c.masked_tokens), 42), "spans of words",
                                                          "scattered tokens")) + "\n";
  const auto line = [&](const std::string& name, auto&& number) {
    text += fmt::format("{}  {:>22}  {:>22}\n", left(name, 42), number(c.spans), number(c.scattered));
  };
  line(fmt::format("{} lost, with its standard error", unit(p.saliency)), [](const MaskingEffect& e) { return fmt::format("{:+#.4g} +- {:.2g}", e.value, e.standard_error); });
  line("change of the log-probability", [](const MaskingEffect& e) { return fmt::format("{:+#.4g}", e.log_prob); });
  line("rank", [](const MaskingEffect& e) { return fmt::format("{:.1f}", e.rank); });
  line("change of the last hidden state, relative", [](const MaskingEffect& e) { return fmt::format("{:.3f}", e.hidden); });
  return text;
}

}  // namespace

std::string draw_step(const SaliencyPicture& p, size_t step, size_t top_k) {
  const SaliencyStep& s = p.saliency.steps[step];
  std::string text = heading(p, s);
  if (p.out.color()) {  // without colours it would be the prompt again
    const std::vector<double> values = signed_shares(p.saliency, step);
    std::vector<std::string> pieces;
    for (size_t i = 0; i < values.size(); ++i) pieces.push_back(p.names.shown(p.saliency.ids[i]));
    text += draw_heat_text(pieces, values, largest(values), p.out);
  }
  if (top_k > 0) text += table(p, step, top_k);
  if (s.completeness) text += completeness(p, s);
  if (s.comparison) text += comparison(p, s);
  return text;
}

std::string draw_saliency_grid(const SaliencyPicture& p) {
  Heat heat;
  heat.corner = "next token";
  for (const int32_t id : p.saliency.ids) heat.columns.push_back(p.names.shown(id));
  heat.full = 0;
  for (size_t step = 0; step < p.saliency.steps.size(); ++step) {
    std::vector<double> values = signed_shares(p.saliency, step);
    heat.full = std::max(heat.full, largest(values));
    values.resize(heat.columns.size(), std::numeric_limits<double>::quiet_NaN());
    heat.rows.push_back({p.names.shown(p.saliency.steps[step].target), std::move(values)});
  }
  return draw_heat(heat, p.out) + p.out.paint(Style::kDim, "cells: share of the step in percent, with the score's sign") + "\n" +
         heat_legend("against the next token", "for it", p.out);
}

}  // namespace vitrine::cli
