// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "report/figures/figure_canvas.h"
#include "report/figures/figure_style.h"

// Panels of dots and of upright bars.

namespace vitrine {
using namespace internal;
namespace {

constexpr double kColumn = 13, kColumnsHeight = 84;
constexpr size_t kColumnsInARow = 40;

}  // namespace

// --- dots

void FigureCanvas::dots(const DotsPanel::Row& row, size_t which, double y, double low, double high,
                        double left) {
  constexpr double kRadius = 2.6, kSpread = 12;
  const std::string_view hex = kLines[which % kLines.size()];
  for (size_t i = 0; i < row.values.size(); ++i) {
    if (!std::isfinite(row.values[i])) continue;
    // Dots of a row keep apart by a fixed pattern: the same figure every time.
    const double part = std::fmod(static_cast<double>(i) * 0.618034, 1.0) - 0.5,
                 x = left + (row.values[i] - low) / (high - low) * kPlotWidth;
    cairo_new_path(cairo_);
    cairo_arc(cairo_, x, y + kSpread * part, kRadius, 0, 4 * std::acos(0.0));
    cairo_set_source_rgba(cairo_, stop(hex, 0, 0), stop(hex, 0, 1), stop(hex, 0, 2), 0.75);
    cairo_fill(cairo_);
  }
}

Size FigureCanvas::draw(const DotsPanel& panel) {
  constexpr double kRow = 30;
  double low = 0, high = 0, widest = 0;
  for (const DotsPanel::Row& row : panel.rows) {
    widest = std::max(widest, text_.width(row.name, kText));
    for (const double value : row.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  const double room = high > low ? 0.05 * (high - low) : 1,
               left = std::min(widest, kMostLabel) + 10, top = kTitleHeight + 14;
  low -= room, high += room;
  const double bottom = top + kRow * static_cast<double>(panel.rows.size()),
               zero = left - low / (high - low) * kPlotWidth;
  title(panel.title);
  for (const double tick : ticks(low, high, 9)) {
    const double x = left + (tick - low) / (high - low) * kPlotWidth;
    ink(0.88);
    line(x, top, x, bottom, 0.75);
    ink(0.3);
    text_.draw(number(tick), x, bottom + 11, kText, Align::kMiddle);
  }
  ink(0.35);
  line(zero, top, zero, bottom, 0.9);
  text_.draw(panel.zero_name, zero, top - 7, kText, Align::kMiddle);
  for (size_t i = 0; i < panel.rows.size(); ++i) {
    const double y = top + kRow * (static_cast<double>(i) + 0.5);
    ink(0.2);
    text_.draw(text_.clip(panel.rows[i].name, kMostLabel, kText), left - 10, y, kText,
               Align::kRight);
    dots(panel.rows[i], i, y, low, high, left);
  }
  ink(0.45);
  text_.draw(panel.value_name, left + kPlotWidth / 2, bottom + 25, kText, Align::kMiddle);
  return {std::max(left + kPlotWidth + 20, std::min(kWide, text_.width(panel.title, kTitle, true))),
          bottom + 34};
}

// --- columns

/// The bars of names [first, end) on a line at `bottom`, with an axis up to `most`.
void FigureCanvas::columns(const ColumnsPanel& panel, size_t first, size_t end, double most,
                           double bottom) {
  const double right = kTicks + kColumn * static_cast<double>(end - first),
               unit = kColumnsHeight / most;
  for (const double tick : ticks(0, most)) {
    ink(0.88);
    line(kTicks, bottom - tick * unit, right, bottom - tick * unit, 0.75);
    ink(0.3);
    text_.draw(number(tick), kTicks - kLabelGap, bottom - tick * unit, kText, Align::kRight);
  }
  for (size_t i = first; i < end; ++i) {
    const double x = kTicks + kColumn * static_cast<double>(i - first), value = panel.values[i];
    if (std::isfinite(value)) {
      color("amount", 0.75);
      cairo_rectangle(cairo_, x + 1.5, bottom - value * unit, kColumn - 3, value * unit);
      cairo_fill(cairo_);
    }
    ink(std::isfinite(value) ? 0.2 : 0.6);
    upright(text_.clip(panel.names[i], kMostLabel, kText), x + kColumn / 2, bottom + kLabelGap,
            Align::kRight);
  }
  ink(0.35);
  line(kTicks, bottom, right, bottom, 0.9);
  ink(0.45);
  upright(panel.value_name, 6, bottom - kColumnsHeight / 2, Align::kMiddle);
}

Size FigureCanvas::draw(const ColumnsPanel& panel) {
  const double most = largest_size(panel.values);
  title(panel.title);
  double bottom = kTitleHeight;
  for (size_t first = 0; first < panel.values.size(); first += kColumnsInARow) {
    const size_t end = std::min(first + kColumnsInARow, panel.values.size());
    double longest = 0;
    for (size_t i = first; i < end; ++i)
      longest = std::max(longest, text_.width(panel.names[i], kText));
    columns(panel, first, end, most, bottom + kColumnsHeight + 6);
    bottom += kColumnsHeight + 6 + std::min(longest, kMostLabel) + 2 * kLabelGap + 6;
  }
  const double width =
      kTicks + kColumn * static_cast<double>(std::min(panel.values.size(), kColumnsInARow));
  return {std::max(width, std::min(kWide, text_.width(panel.title, kTitle, true))), bottom};
}

}  // namespace vitrine
