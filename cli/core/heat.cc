// SPDX-License-Identifier: MIT
#include "cli/core/heat.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace vitrine::cli {
namespace {

constexpr size_t kCellWidth = 9, kLabelWidth = 16;

/// Plain for what is not finite.
Style style_of(double value, double full) {
  if (!std::isfinite(value)) return Style::kPlain;
  return heat_style(full > 0 ? value / full : 0.0);
}

std::string number(double value) {
  if (std::isnan(value)) return "";
  if (std::isinf(value)) return value > 0 ? "+inf" : "-inf";
  const long rounded = std::lround(100 * value);
  return rounded == 0 ? "·" : fmt::format("{:+}", rounded);
}

}  // namespace

double largest_size(std::span<const double> values) {
  double size = 0;
  for (const double x : values) {
    if (std::isfinite(x)) size = std::max(size, std::abs(x));
  }
  return size;
}

std::string draw_heat(const Heat& heat, const Terminal& out) {
  size_t label_width = display_width(heat.corner);
  for (const Heat::Row& row : heat.rows)
    label_width = std::max(label_width, display_width(row.label));
  label_width = std::min(label_width, kLabelWidth);
  const Columns columns = fit_columns(out, heat.columns.size(), label_width, kCellWidth, true);
  const auto line = [&](const std::string& label, auto&& cell) {
    std::string text = left(label, label_width);
    for (size_t i = columns.first; i < columns.first + columns.count; ++i) text += " " + cell(i);
    if (!out.color()) text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string text = out.paint(Style::kDim, line(heat.corner, [&](size_t i) {
                                 return right(heat.columns[i], kCellWidth - 1);
                               }));
  for (const Heat::Row& row : heat.rows) {
    text += line(row.label, [&](size_t i) {
      return out.paint(style_of(row.values[i], heat.full),
                       right(number(row.values[i]), kCellWidth - 1));
    });
  }
  if (columns.hidden > 0) {
    text += out.paint(Style::kDim, fmt::format("{} earlier columns do not fit (--width 0: all)",
                                               columns.hidden)) +
            "\n";
  }
  return text;
}

std::string draw_heat_text(std::span<const std::string> pieces, std::span<const double> values,
                           double full, const Terminal& out) {
  std::string text;
  size_t used = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const size_t width = display_width(pieces[i]);
    if (used > 0 && used + width > out.width()) {
      text += "\n";
      used = 0;
    }
    used += width;
    text += out.paint(style_of(values[i], full), pieces[i]);
  }
  return text + "\n";
}

std::string heat_legend(const std::string& below, const std::string& above, const Terminal& out) {
  if (!out.color()) return "";
  return out.paint(Style::kDim, "colour: ") + out.paint(Style::kLeast, below) +
         out.paint(Style::kDim, " to ") + out.paint(Style::kMost, above) + "\n";
}

}  // namespace vitrine::cli
