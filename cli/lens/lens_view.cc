// SPDX-License-Identifier: MIT
#include "cli/lens/lens_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/core/heat.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kLabelWidth = 8, kRankWidth = 7, kPercentWidth = 11;
constexpr size_t kKlWidth = 9;

/// Full at rank 1, empty at the vocabulary's size, logarithmic between: most of the way up is made
/// in the first factors.
double bar_part(int64_t rank, int64_t vocab) {
  return vocab < 2
             ? 1.0
             : 1.0 - std::log(static_cast<double>(rank)) / std::log(static_cast<double>(vocab));
}

std::string rank_and_bar(const LensPicture& p, int64_t rank, double log_prob, size_t bar_width) {
  const std::string text = fmt::format("{} {} {}", right(thousands(rank), kRankWidth),
                                       bar(bar_part(rank, p.vocab), bar_width),
                                       right(percent(std::exp(log_prob)), kPercentWidth));
  return p.out.paint(rank_style(rank), text);
}

/// What stands above them.
std::string block_head(const std::string& name, size_t bar_width) {
  return fmt::format("{} {} {}", right("rank", kRankWidth), left(name, bar_width),
                     right("probability", kPercentWidth));
}

/// KL of a cell, or its column heading; empty if not requested.
std::string kl_column(const LensPicture& p, std::optional<size_t> cell) {
  if (p.lens.kl.empty()) return "";
  return cell ? right(fmt::format("{:.3f}", p.lens.kl[*cell]), kKlWidth) : right("KL", kKlWidth);
}

/// The likeliest tokens of a cell, as many as fit.
std::string likeliest(const LensPicture& p, size_t cell, int32_t marked, size_t columns) {
  std::string line;
  size_t used = 0;
  const auto k = static_cast<size_t>(p.lens.top_k);
  for (size_t i = 0; i < k; ++i) {
    const int32_t id = p.lens.top_ids[cell * k + i];
    const std::string name = clip(p.names.shown(id), 16);
    const std::string probability = " " + percent(std::exp(p.lens.top_log_probs[cell * k + i]));
    const size_t width = display_width(name) + display_width(probability) + (i > 0 ? 3 : 0);
    if (used + width > columns) break;
    used += width;
    if (i > 0) line += "   ";
    line += p.out.paint(id == marked ? Style::kBest
                        : i == 0     ? Style::kPlain
                                     : Style::kDim,
                        name) +
            p.out.paint(Style::kDim, probability);
  }
  return line;
}

std::string draw_target_ranks(const LensPicture& p, size_t position) {
  const size_t bar_width = p.out.width() >= 100 ? 24 : 12;
  const size_t block =
      kRankWidth + 1 + bar_width + 1 + kPercentWidth + (p.lens.kl.empty() ? 0 : kKlWidth);
  const size_t rest =
      p.out.width() > kLabelWidth + block + 6 ? p.out.width() - kLabelWidth - block - 6 : 0;
  const int32_t target = p.lens.targets[position];
  const std::string head =
      fmt::format("{}  {}{}{}", left("layer", kLabelWidth),
                  block_head("of " + p.names.shown(target), bar_width), kl_column(p, {}),
                  rest > 0 ? "    " + clip("likeliest next tokens", rest) : "");
  std::string out = p.out.paint(Style::kDim, head) + "\n";
  for (size_t row = 0; row < p.lens.rows(); ++row) {
    const size_t cell = p.lens.cell(row, position);
    out += fmt::format(
        "{}  {}{}", left(p.rows[row], kLabelWidth),
        rank_and_bar(p, p.lens.target_ranks[cell], p.lens.target_log_probs[cell], bar_width),
        kl_column(p, cell));
    const std::string tokens = likeliest(p, cell, target, rest);
    if (!tokens.empty()) out += "    " + tokens;
    out += "\n";
  }
  return out;
}

std::string draw_watched_ranks(const LensPicture& p, size_t position) {
  constexpr size_t kBar = 12, kBlock = kRankWidth + 1 + kBar + 1 + kPercentWidth, kGap = 4;
  const size_t watched = p.lens.watch.size();
  const Columns columns = fit_columns(
      p.out, watched, kLabelWidth + (p.lens.kl.empty() ? 0 : kKlWidth), kBlock + kGap, false);
  std::string head = left("layer", kLabelWidth);
  for (size_t w = 0; w < columns.count; ++w)
    head += std::string(w == 0 ? 2 : kGap, ' ') + block_head(p.names.shown(p.lens.watch[w]), kBar);
  head += kl_column(p, {});
  const bool leader_fits = watched > 1 && display_width(head) + kGap + 12 <= p.out.width();
  std::string out = p.out.paint(Style::kDim, head + (leader_fits ? "    ahead" : "")) + "\n";
  for (size_t row = 0; row < p.lens.rows(); ++row) {
    const size_t cell = p.lens.cell(row, position) * watched;
    std::string line = left(p.rows[row], kLabelWidth);
    size_t best = 0;
    for (size_t w = 0; w < watched; ++w) {
      if (p.lens.watch_log_probs[cell + w] > p.lens.watch_log_probs[cell + best]) best = w;
      if (w >= columns.count) continue;
      line += std::string(w == 0 ? 2 : kGap, ' ') +
              rank_and_bar(p, p.lens.watch_ranks[cell + w], p.lens.watch_log_probs[cell + w], kBar);
    }
    line += kl_column(p, p.lens.cell(row, position));
    if (leader_fits) line += "    " + clip(p.names.shown(p.lens.watch[best]), 16);
    out += line + "\n";
  }
  if (columns.hidden > 0)
    out += p.out.paint(
               Style::kDim,
               fmt::format("{} more watched tokens do not fit (--width 0: all)", columns.hidden)) +
           "\n";
  return out;
}

}  // namespace

std::string draw_ranks(const LensPicture& p, size_t position) {
  return (p.lens.watch.empty() ? draw_target_ranks(p, position) : draw_watched_ranks(p, position)) +
         rank_legend(p.out);
}

}  // namespace vitrine::cli
