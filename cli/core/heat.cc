// SPDX-License-Identifier: MIT
#include "cli/core/heat.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace vitrine::cli {
namespace {

constexpr size_t kNumberWidth = 9, kTextWidth = 10, kLabelWidth = 16;

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

/// From one eighth to eight of them.
std::string bar_of_height(double part) {
  const auto eighths = static_cast<int>(std::lround(8 * std::clamp(part, 0.125, 1.0)));
  return std::string("\xe2\x96") + static_cast<char>(0x80 + eighths);  // U+2581 is one eighth
}

/// A column's text: names at the left, numbers at the right, a blank between columns.
std::string cell_text(const HeatPanel& panel, const std::string& text, bool name) {
  if (panel.texts.empty()) return " " + right(text, kNumberWidth - 1);
  return left(name ? clip(text, kTextWidth - 2) : right(text, kTextWidth - 1), kTextWidth);
}

std::string cell(const HeatPanel& panel, size_t i, const Terminal& out) {
  const bool rank = panel.kind == HeatPanel::Kind::kRank;
  std::string text = panel.texts.empty() ? number(panel.values[i]) : panel.texts[i];
  if (!panel.marks.empty() && panel.marks[i]) text = clip(text, kTextWidth - 2) + "•";
  const bool marked = !panel.marks.empty() && panel.marks[i];
  return out.paint(rank ? rank_style(static_cast<int64_t>(panel.values[i]))
                        : style_of(panel.values[i], panel.limit),
                   marked ? left(text, kTextWidth) : cell_text(panel, text, !panel.numbers));
}

std::string legend(const HeatPanel& panel, const Terminal& out) {
  if (panel.kind == HeatPanel::Kind::kRank) return rank_legend(out);
  return panel.above.empty() ? "" : heat_legend(panel.below, panel.above, out);
}

}  // namespace

std::string draw_heat(const HeatPanel& panel, const Terminal& out) {
  const std::vector<HeatPanel::Heading> headings = {
      panel.first,
      {panel.corner.empty() ? panel.row_name : panel.corner, panel.columns},
      panel.last};
  size_t label_width = 0;
  for (const HeatPanel::Heading& heading : headings)
    label_width = std::max(label_width, display_width(heading.name));
  for (const std::string& row : panel.rows) label_width = std::max(label_width, display_width(row));
  label_width = std::min(label_width, kLabelWidth) + (panel.texts.empty() ? 0 : 1);
  const Columns columns = fit_columns(out, panel.columns.size(), label_width,
                                      panel.texts.empty() ? kNumberWidth : kTextWidth, true);
  const auto line = [&](const std::string& label, auto&& each) {
    std::string text = left(label, label_width);
    for (size_t i = columns.first; i < columns.first + columns.count; ++i) text += each(i);
    if (!out.color()) text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string text;
  for (const HeatPanel::Heading& heading : headings) {
    if (heading.labels.empty()) continue;
    text += out.paint(Style::kDim, line(heading.name, [&](size_t i) {
                        return cell_text(panel, heading.labels[i], !panel.names_at_right);
                      }));
  }
  for (size_t row = 0; row < panel.rows.size(); ++row) {
    text += line(panel.rows[row],
                 [&](size_t i) { return cell(panel, row * panel.columns.size() + i, out); });
  }
  const auto note = [&](const std::string& words) { return out.paint(Style::kDim, words) + "\n"; };
  if (columns.hidden > 0)
    text += note(fmt::format("{} earlier columns do not fit (--width 0: all)", columns.hidden));
  if (!panel.cells.empty()) text += note("cells: " + panel.cells);
  return text + legend(panel, out);
}

std::string draw_strip(const HeatPanel& panel, size_t first, const Terminal& out) {
  size_t label_width = display_width(panel.row_name);
  for (const std::string& row : panel.rows) label_width = std::max(label_width, display_width(row));
  label_width += 2;
  const Columns columns =
      fit_columns(out, panel.columns.size(), label_width + panel.borders.size(), 1, true);
  const auto line = [&](const std::string& label, auto&& cell, const std::string& border) {
    std::string text = left(label, label_width);
    for (size_t i = columns.first; i < columns.first + columns.count; ++i) {
      if (std::ranges::find(panel.borders, i) != panel.borders.end()) text += border;
      text += cell(i);
    }
    if (!out.color()) text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string text, number;
  const auto digit = [&](size_t i) {
    if ((first + i) % 10 == 0) number = std::to_string(first + i);
    const std::string next = number.substr(0, 1);
    number.erase(0, 1);
    return next.empty() ? " " : next;
  };
  text += out.paint(Style::kDim, line(panel.row_name, digit, " "));
  for (size_t row = 0; row < panel.rows.size(); ++row) {
    const auto block = [&](size_t i) {
      const double value = panel.values[row * panel.columns.size() + i],
                   part = panel.limit > 0 ? value / panel.limit : 0;
      const std::string drawn = value > 0 ? bar_of_height(part) : " ";
      return out.paint(style_of(value, panel.limit), drawn);
    };
    text += line(panel.rows[row], block, "│");
  }
  if (columns.hidden > 0)
    text += out.paint(Style::kDim, fmt::format("{} earlier columns do not fit (--width 0: all)\n",
                                               columns.hidden));
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
    if (pieces[i].ends_with("\\n")) used = out.width();  // a token that ends a line
  }
  return text + "\n";
}

std::string heat_legend(const std::string& below, const std::string& above, const Terminal& out) {
  if (!out.color()) return "";
  return out.paint(Style::kDim, "colour: ") + out.paint(Style::kLeast, below) +
         out.paint(Style::kDim, " to ") + out.paint(Style::kMost, above) + "\n";
}

std::string rank_legend(const Terminal& out) {
  if (!out.color()) return "";
  std::string text = out.paint(Style::kDim, "colour: rank");
  for (const auto& [rank, words] :
       std::initializer_list<std::pair<int64_t, const char*>>{{1, "1"},
                                                              {2, "to 3"},
                                                              {4, "to 10"},
                                                              {11, "to 100"},
                                                              {101, "to 1,000"},
                                                              {1001, "beyond"}})
    text += " " + out.paint(rank_style(rank), words);
  return text + "\n";
}

}  // namespace vitrine::cli
