// SPDX-License-Identifier: MIT
#include "cli/saliency/saliency_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "analysis/saliency/words.h"
#include "cli/core/heat.h"
#include "cli/saliency/saliency_args.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// A token's share with the sign of its score.
double signed_share(const Saliency& saliency, size_t step, size_t position) {
  const size_t cell = saliency.cell(step, position);
  return std::copysign(saliency.shares[cell], saliency.scores[cell]);
}

/// Of each input token of a step.
std::vector<double> signed_shares(const Saliency& saliency, size_t step) {
  std::vector<double> values;
  for (int64_t i = 0; i < saliency.steps[step].inputs; ++i)
    values.push_back(signed_share(saliency, step, static_cast<size_t>(i)));
  return values;
}

/// " are rather than  is"
std::string aim(const SaliencyPicture& p, size_t step) {
  const std::optional<int32_t> contrast = p.saliency.contrast_of(step);
  return p.names.shown(p.saliency.steps[step].target) +
         (contrast ? " rather than " + p.names.shown(*contrast) : "");
}

std::string heading(const SaliencyPicture& p, size_t at) {
  const SaliencyStep& step = p.saliency.steps[at];
  std::string text =
      fmt::format("position {}: {}, rank {}, {}, logit {:.3f}", step.inputs, aim(p, at),
                  thousands(step.rank), percent(std::exp(step.log_prob)), step.logit);
  if (p.saliency.contrast_of(at))
    text += fmt::format("; difference of {} {:.4g}", value_in_words(p.saliency.value), step.value);
  return text + "\n";
}

/// How wide the columns of a table are.
struct Layout {
  size_t token, bar;

  Layout(const Terminal& out, bool spans) : token(out.width() >= 100 ? 16 : 12) {
    const size_t rest = 38 + token + (spans ? 29 : 0);  // position, share, score; scattered, draws
    bar = out.width() > rest ? std::min<size_t>(out.width() - rest, 24) : 0;
  }
};

std::string table_head(const Layout& layout, bool spans) {
  return fmt::format("{:>8}  {}  {:>8}  {}  {:>12}{}", "position", left("token", layout.token),
                     "share", left("", layout.bar), "score",
                     spans ? "     scattered  draws, either" : "");
}

std::string table_line(const SaliencyPicture& p, const Layout& layout, size_t step, size_t at,
                       double full) {
  const SaliencyStep& s = p.saliency.steps[step];
  const double share = p.saliency.shares[p.saliency.cell(step, at)],
               score = p.saliency.scores[p.saliency.cell(step, at)];
  const double part = full > 0 ? share / full : 0.0;
  const std::string numbers = fmt::format("{}  {:>8}  {}  {:>+#12.4g}",
                                          left(p.names.shown(p.saliency.ids[at]), layout.token),
                                          percent(share), bar(part, layout.bar), score);
  std::string text =
      fmt::format("{:>8}  {}", at, p.out.paint(heat_style(std::copysign(part, score)), numbers));
  if (s.comparison) {
    text += fmt::format("  {:>+#12.4g}  {:>6} {:>6}", s.comparison->scattered_scores[at],
                        s.comparison->span_draws[at], s.comparison->scattered_draws[at]);
  }
  return text + "\n";
}

/// A step's inputs, the largest shares first.
std::vector<size_t> by_share(const SaliencyPicture& p, size_t step) {
  const auto share = [&](size_t at) { return p.saliency.shares[p.saliency.cell(step, at)]; };
  std::vector<size_t> order(static_cast<size_t>(p.saliency.steps[step].inputs));
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return share(a) > share(b); });
  return order;
}

std::string table(const SaliencyPicture& p, size_t step, size_t top_k) {
  const SaliencyStep& s = p.saliency.steps[step];
  const Layout layout(p.out, s.comparison.has_value());
  const auto share = [&](size_t at) { return p.saliency.shares[p.saliency.cell(step, at)]; };
  const std::vector<size_t> order = by_share(p, step);
  std::string text = p.out.paint(Style::kDim, table_head(layout, s.comparison.has_value())) + "\n";
  const size_t shown = std::min(top_k, order.size());
  for (size_t i = 0; i < shown; ++i) text += table_line(p, layout, step, order[i], share(order[0]));
  double rest = 0;
  for (size_t i = shown; i < order.size(); ++i) rest += share(order[i]);
  if (shown < order.size()) {
    text += p.out.paint(Style::kDim, fmt::format("{} more tokens have {} together",
                                                 order.size() - shown, percent(rest))) +
            "\n";
  }
  return text;
}

std::string completeness(const SaliencyPicture& p, const SaliencyStep& step) {
  const Completeness& c = *step.completeness;
  return p.out.paint(Style::kDim,
                     fmt::format("sum of scores against f(input) {:.5g} - f(baseline) {:.5g}: gap "
                                 "{:.2g}, relative {:.2g}",
                                 step.value, c.baseline_value, c.gap, c.relative_gap)) +
         "\n";
}

std::string comparison(const SaliencyPicture& p, const SaliencyStep& step) {
  const SpanComparison& c = *step.comparison;
  constexpr size_t kName = 40;
  std::string text =
      p.out.paint(
          Style::kDim,
          fmt::format("{}{:>18}{:>18}",
                      left(fmt::format("means, {:.2f} tokens masked", c.masked_tokens), kName),
                      "spans of words", "scattered tokens")) +
      "\n";
  const auto line = [&](const std::string& name, auto&& number) {
    text +=
        fmt::format("{}{:>18}{:>18}\n", left(name, kName), number(c.spans), number(c.scattered));
  };
  line(fmt::format("{} lost +- standard error", value_in_words(p.saliency.value)),
       [](const MaskingEffect& e) {
         return fmt::format("{:+#.4g} +- {:.2g}", e.value, e.standard_error);
       });
  line("change of the log-probability",
       [](const MaskingEffect& e) { return fmt::format("{:+#.4g}", e.log_prob); });
  line("rank", [](const MaskingEffect& e) { return fmt::format("{:.1f}", e.rank); });
  line("relative change of the last hidden state",
       [](const MaskingEffect& e) { return fmt::format("{:.3f}", e.hidden); });
  return text;
}

/// The end of a step's input, as much as fits.
std::string coloured_input(const SaliencyPicture& p, size_t step, size_t room) {
  const std::vector<double> values = signed_shares(p.saliency, step);
  const double full = largest_size(values);
  size_t first = values.size(), used = 0;
  while (first > 0) {
    const size_t width = display_width(p.names.shown(p.saliency.ids[first - 1]));
    if (used + width > room) break;
    used += width;
    --first;
  }
  std::string text = first > 0 ? p.out.paint(Style::kDim, "…") : "";
  for (size_t i = first; i < values.size(); ++i)
    text += p.out.paint(heat_style(full > 0 ? values[i] / full : 0.0),
                        p.names.shown(p.saliency.ids[i]));
  return text;
}

/// The same without colours: "␣keys +20 %, The +25 %", as many as fit.
std::string strongest_inputs(const SaliencyPicture& p, size_t step, size_t room) {
  const std::vector<double> values = signed_shares(p.saliency, step);
  std::string text;
  for (const size_t at : by_share(p, step)) {
    const std::string next = fmt::format("{}{} {:+.0f} %", text.empty() ? "" : ", ",
                                         p.names.shown(p.saliency.ids[at]), 100 * values[at]);
    if (display_width(text) + display_width(next) > room) break;
    text += next;
  }
  return text;
}

}  // namespace

std::string draw_step(const SaliencyPicture& p, size_t step, size_t top_k) {
  const SaliencyStep& s = p.saliency.steps[step];
  std::string text = heading(p, step);
  if (p.out.color()) {  // without colours it would be the prompt again
    const std::vector<double> values = signed_shares(p.saliency, step);
    std::vector<std::string> pieces;
    for (size_t i = 0; i < values.size(); ++i) pieces.push_back(p.names.shown(p.saliency.ids[i]));
    text += draw_heat_text(pieces, values, largest_size(values), p.out);
  }
  if (top_k > 0) text += table(p, step, top_k);
  if (s.completeness) text += completeness(p, s);
  if (s.comparison) text += comparison(p, s);
  return text;
}

std::string draw_saliency_lines(const SaliencyPicture& p) {
  size_t width = 0;
  for (size_t step = 0; step < p.saliency.steps.size(); ++step)
    width = std::max(width, display_width(aim(p, step)));
  width = std::min(width, std::max<size_t>(p.out.width() / 3, 12));
  const size_t room = p.out.width() > width + 4 ? p.out.width() - width - 4 : 1;
  std::string text;
  for (size_t step = 0; step < p.saliency.steps.size(); ++step) {
    text += p.out.paint(Style::kTitle, left(aim(p, step), width)) + "  " +
            (p.out.color() ? coloured_input(p, step, room) : strongest_inputs(p, step, room)) +
            "\n";
  }
  return text + (p.out.color() ? heat_legend("against the next token", "for it", p.out)
                               : "each next token, and the inputs with the largest shares, with "
                                 "the score's sign\n");
}

std::string draw_saliency_grid(const SaliencyPicture& p) {
  HeatPanel heat{.row_name = "next token",
                 .limit = 0,
                 .below = "against the next token",
                 .above = "for it",
                 .cells = "share of the step in percent, with the score's sign"};
  for (const int32_t id : p.saliency.ids) heat.columns.push_back(p.names.shown(id));
  for (size_t step = 0; step < p.saliency.steps.size(); ++step) {
    std::vector<double> values = signed_shares(p.saliency, step);
    heat.limit = std::max(heat.limit, largest_size(values));
    values.resize(heat.columns.size(), std::numeric_limits<double>::quiet_NaN());
    heat.rows.push_back(p.names.shown(p.saliency.steps[step].target));
    heat.values.insert(heat.values.end(), values.begin(), values.end());
  }
  return draw_heat(heat, p.out);
}

}  // namespace vitrine::cli
