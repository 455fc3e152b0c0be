// SPDX-License-Identifier: MIT
#include "report/figures/figure_canvas.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "report/figures/figure_style.h"
#include "report/figures/palette.h"

namespace vitrine::internal {
namespace {

std::vector<double> rank_ticks(double last) {
  std::vector<double> found;
  for (double at = 1; at <= last * 1.0001; at *= 10) found.push_back(at);
  return found;
}

const std::array<std::vector<double>, 6> kDashes = {
    {{}, {6, 3}, {2, 2.5}, {8, 3, 2, 3}, {4, 4}, {10, 4}}};

/// Where colours begin again, dashes do not.
const std::vector<double>& dashes_of(size_t line) {
  return kDashes[(line + line / kLines.size()) % kDashes.size()];
}

}  // namespace

void FigureCanvas::ink(double lightness) {
  cairo_set_source_rgb(cairo_, lightness, lightness, lightness);
}

void FigureCanvas::color(std::string_view name, double part) {
  const auto scale = std::find_if(kScales.begin(), kScales.end(),
                                  [&](const Scale& each) { return each.name == name; });
  const size_t count = (scale->light.size() + 1) / 7;
  const double at = std::clamp(part, 0.0, 1.0) * static_cast<double>(count - 1);
  const size_t low = std::min(static_cast<size_t>(at), count - 2);
  std::array<double, 3> rgb{};
  luminance_ = 0;
  for (size_t channel = 0; channel < 3; ++channel) {
    const double from = stop(scale->light, low, channel), to = stop(scale->light, low + 1, channel);
    rgb[channel] = from + (to - from) * (at - static_cast<double>(low));
    luminance_ += std::array{0.2126, 0.7152, 0.0722}[channel] * std::pow(rgb[channel], 2.2);
  }
  cairo_set_source_rgb(cairo_, rgb[0], rgb[1], rgb[2]);
}

void FigureCanvas::line(double x0, double y0, double x1, double y1, double width) {
  cairo_set_line_width(cairo_, width);
  cairo_move_to(cairo_, x0, y0);
  cairo_line_to(cairo_, x1, y1);
  cairo_stroke(cairo_);
}

void FigureCanvas::title(const std::string& text) {
  ink(0.1);
  text_.draw(text_.clip(text, kWide, kTitle, true), 0, 8, kTitle, Align::kLeft, true);
}

/// Text that is read from below.
void FigureCanvas::upright(const std::string& text, double x, double y, Align align) {
  cairo_save(cairo_);
  cairo_translate(cairo_, x, y);
  cairo_rotate(cairo_, -std::acos(0.0));
  text_.draw(text, 0, 0, kText, align);
  cairo_restore(cairo_);
}

// --- heat

struct FigureCanvas::HeatLayout {
  double left = 0, top = 0, cell_width = 0, cell_height = 0, label_height = 0;
  bool turned = false;  // column labels
  double right(const HeatPanel& panel) const {
    return left + cell_width * static_cast<double>(panel.columns.size());
  }
  double bottom(const HeatPanel& panel) const {
    return top + cell_height * static_cast<double>(panel.rows.size());
  }
};

FigureCanvas::HeatLayout FigureCanvas::layout(const HeatPanel& panel) const {
  HeatLayout at;
  const auto columns = static_cast<double>(panel.columns.size()),
             rows = static_cast<double>(panel.rows.size());
  double widest = text_.width(panel.row_name, kText), longest = 0;
  for (const std::string& row : panel.rows) widest = std::max(widest, text_.width(row, kText));
  for (const std::string& column : panel.columns)
    longest = std::max(longest, text_.width(column, kText));
  at.left = std::min(widest, kMostLabel) + kLabelGap;
  const bool written = !panel.texts.empty();
  at.cell_width = written ? 46 : std::clamp(kWide / columns, 3.0, 30.0);
  at.cell_height = written ? 15 : std::clamp(kWide / rows, 3.0, std::min(at.cell_width, 18.0));
  at.turned = longest > at.cell_width && at.cell_width < 40;
  at.label_height = at.turned ? std::min(longest, kMostLabel) + kLabelGap : kText + kLabelGap;
  at.top = kTitleHeight + at.label_height + (panel.column_name.empty() ? 0 : kText + 4);
  return at;
}

bool FigureCanvas::set_cell_color(const HeatPanel& panel, double value) {
  if (std::isnan(value)) return false;
  if (panel.kind == HeatPanel::Kind::kAmount)
    color("amount", value / panel.limit);
  else if (panel.kind == HeatPanel::Kind::kDiverging)
    color(value < 0 ? "minus" : "plus", std::abs(value) / panel.limit);
  else
    color("rank", panel.limit > 1 ? 1 - std::log(value) / std::log(panel.limit) : 1);
  return true;
}

void FigureCanvas::cells(const HeatPanel& panel, const HeatLayout& at) {
  const double gap = at.cell_width > 8 && at.cell_height > 8 ? 0.75 : 0;
  for (size_t row = 0; row < panel.rows.size(); ++row) {
    for (size_t column = 0; column < panel.columns.size(); ++column) {
      const size_t cell = row * panel.columns.size() + column;
      if (!set_cell_color(panel, panel.values[cell])) continue;
      const double x = at.left + at.cell_width * static_cast<double>(column),
                   y = at.top + at.cell_height * static_cast<double>(row);
      cairo_rectangle(cairo_, x, y, at.cell_width - gap, at.cell_height - gap);
      cairo_fill(cairo_);
      if (panel.texts.empty()) continue;
      ink(luminance_ > 0.2 ? 0.08 : 1);
      text_.draw(text_.clip(panel.texts[cell], at.cell_width - 4, 8), x + at.cell_width / 2,
                 y + at.cell_height / 2, 8, Align::kMiddle);
    }
  }
  ink(0.3);
  for (const size_t column : panel.borders) {
    const double x = at.left + at.cell_width * static_cast<double>(column) - gap / 2;
    line(x, at.top - 3, x, at.bottom(panel) + 3, 1);
  }
}

void FigureCanvas::labels(const HeatPanel& panel, const HeatLayout& at) {
  ink(0.3);
  const auto step = [](double room) { return static_cast<size_t>(std::ceil((kText + 1) / room)); };
  for (size_t row = 0; row < panel.rows.size(); row += step(at.cell_height)) {
    text_.draw(text_.clip(panel.rows[row], kMostLabel, kText), at.left - kLabelGap,
               at.top + at.cell_height * (static_cast<double>(row) + 0.5), kText, Align::kRight);
  }
  for (size_t column = 0; column < panel.columns.size();
       column += at.turned ? step(at.cell_width) : 1) {
    const double x = at.left + at.cell_width * (static_cast<double>(column) + 0.5);
    if (!at.turned) {
      text_.draw(text_.clip(panel.columns[column], at.cell_width - 2, kText), x,
                 at.top - kLabelGap - 2, kText, Align::kMiddle);
      continue;
    }
    upright(text_.clip(panel.columns[column], kMostLabel, kText), x, at.top - kLabelGap,
            Align::kLeft);
  }
  ink(0.45);
  text_.draw(panel.row_name, at.left - kLabelGap, at.top - kLabelGap - 2, kText, Align::kRight);
  if (!panel.column_name.empty()) text_.draw(panel.column_name, at.left, kTitleHeight + 4, kText);
}

/// What the bar shows, and what its ends mean.
static std::string explained(const HeatPanel& panel) {
  if (panel.above.empty()) return panel.value_name;
  return fmt::format("{} (orange {}, blue {})", panel.value_name, panel.below, panel.above);
}

void FigureCanvas::color_bar(const HeatPanel& panel, const HeatLayout& at) {
  if (panel.value_name.empty()) return;
  constexpr double kLength = 120, kThick = 7, kSteps = 60;
  const double y = at.bottom(panel) + 12;
  for (double i = 0; i < kSteps; ++i) {
    const double part = i / (kSteps - 1);
    const double value = panel.kind == HeatPanel::Kind::kAmount ? part * panel.limit
                         : panel.kind == HeatPanel::Kind::kDiverging
                             ? (2 * part - 1) * panel.limit
                             : std::pow(panel.limit, 1 - part);
    set_cell_color(panel, value);
    cairo_rectangle(cairo_, at.left + kLength * i / kSteps, y, kLength / kSteps + 0.3, kThick);
    cairo_fill(cairo_);
  }
  ink(0.3);
  const bool ranks = panel.kind == HeatPanel::Kind::kRank;
  const std::string low = ranks ? fmt::format("{:.0f}", panel.limit)
                          : panel.kind == HeatPanel::Kind::kDiverging ? number(-panel.limit)
                                                                      : "0";
  text_.draw(low, at.left, y + kThick + 8, 8);
  if (panel.kind == HeatPanel::Kind::kDiverging)
    text_.draw("0", at.left + kLength / 2, y + kThick + 8, 8, Align::kMiddle);
  text_.draw(ranks ? "1" : number(panel.limit), at.left + kLength, y + kThick + 8, 8,
             Align::kRight);
  text_.draw(explained(panel), at.left + kLength + 10, y + kThick / 2, kText);
}

Size FigureCanvas::draw(const HeatPanel& panel) {
  const HeatLayout at = layout(panel);
  title(panel.title);
  cells(panel, at);
  labels(panel, at);
  color_bar(panel, at);
  const bool bar = !panel.value_name.empty();
  const double bar_width = bar ? at.left + 130 + text_.width(explained(panel), kText) : 0,
               title_width = std::min(kWide, text_.width(panel.title, kTitle, true));
  return {std::max({at.right(panel), bar_width, title_width}), at.bottom(panel) + 36};
}

// --- lines

void FigureCanvas::axis(const LinesPanel& panel, double low, double high, double left) {
  for (const double tick : panel.ranks ? rank_ticks(high) : ticks(low, high)) {
    const double part = panel.ranks ? std::log(tick) / std::log(high)
                                    : 1 - (tick - low) / (high - low),
                 y = kTitleHeight + part * kPlotHeight;
    ink(0.88);
    line(left, y, left + kPlotWidth, y, 0.75);
    ink(0.3);
    text_.draw(panel.ranks ? fmt::format("{:.0f}", tick) : number(tick), left - kLabelGap, y, kText,
               Align::kRight);
  }
  const size_t count = panel.x.size();
  double widest = 1;
  for (const std::string& x : panel.x) widest = std::max(widest, text_.width(x, kText) + 6);
  const auto step = static_cast<size_t>(
      std::max(1.0, std::ceil(widest * static_cast<double>(count) / kPlotWidth)));
  for (size_t i = 0; i < count; i += step) {
    const double x =
        left + (count > 1 ? kPlotWidth * static_cast<double>(i) / static_cast<double>(count - 1)
                          : kPlotWidth / 2);
    text_.draw(panel.x[i], x, kTitleHeight + kPlotHeight + 11, kText, Align::kMiddle);
  }
  ink(0.45);
  text_.draw(panel.x_name, left + kPlotWidth / 2, kTitleHeight + kPlotHeight + 25, kText,
             Align::kMiddle);
  upright(panel.y_name, 6, kTitleHeight + kPlotHeight / 2, Align::kMiddle);
}

void FigureCanvas::series(const LinesPanel& panel, size_t which, double low, double high,
                          double left) {
  const LinesPanel::Series& series = panel.series[which];
  const size_t count = panel.x.size();
  const auto x = [&](size_t i) {
    return left + (count > 1 ? kPlotWidth * static_cast<double>(i) / static_cast<double>(count - 1)
                             : kPlotWidth / 2);
  };
  const auto y = [&](double value) {
    return kTitleHeight + kPlotHeight * (panel.ranks ? std::log(value) / std::log(high)
                                                     : 1 - (value - low) / (high - low));
  };
  const std::string_view hex = kLines[which % kLines.size()];
  const auto set = [&](double alpha) {
    cairo_set_source_rgba(cairo_, stop(hex, 0, 0), stop(hex, 0, 1), stop(hex, 0, 2), alpha);
  };
  cairo_new_path(cairo_);  // text leaves its end as a point
  if (!series.low.empty()) {
    for (size_t i = 0; i < count; ++i)
      cairo_line_to(cairo_, x(i),
                    y(std::isnan(series.high[i]) ? series.values[i] : series.high[i]));
    for (size_t i = count; i-- > 0;)
      cairo_line_to(cairo_, x(i), y(std::isnan(series.low[i]) ? series.values[i] : series.low[i]));
    set(0.16);
    cairo_fill(cairo_);
  }
  set(1);
  const std::vector<double>& dashes = dashes_of(which);
  cairo_set_dash(cairo_, dashes.data(), static_cast<int>(dashes.size()), 0);
  cairo_set_line_width(cairo_, 1.6);
  bool down = false;
  for (size_t i = 0; i < count; ++i) {
    if (std::isnan(series.values[i]))
      down = false;
    else if (std::exchange(down, true))
      cairo_line_to(cairo_, x(i), y(series.values[i]));
    else
      cairo_move_to(cairo_, x(i), y(series.values[i]));
  }
  cairo_stroke(cairo_);
  cairo_set_dash(cairo_, nullptr, 0, 0);
  for (size_t i = 0; i < count && count <= 64; ++i) {
    if (std::isnan(series.values[i])) continue;
    cairo_arc(cairo_, x(i), y(series.values[i]), 2, 0, 4 * std::acos(0.0));
    cairo_fill(cairo_);
  }
  if (which + 1 < panel.series.size()) return;
  ink(0.2);  // notes are above all lines
  for (size_t i = 0; i < panel.notes.size(); ++i) {
    const double value = panel.series[0].values[i];
    if (std::isfinite(value)) text_.draw(panel.notes[i], x(i), y(value) - 9, kText, Align::kMiddle);
  }
}

void FigureCanvas::key(const LinesPanel& panel, double left) {
  for (size_t i = 0; i < panel.series.size(); ++i) {
    const double y = kTitleHeight + 8 + 15 * static_cast<double>(i), x = left + kPlotWidth + 14;
    const std::string_view hex = kLines[i % kLines.size()];
    cairo_set_source_rgb(cairo_, stop(hex, 0, 0), stop(hex, 0, 1), stop(hex, 0, 2));
    const std::vector<double>& dashes = dashes_of(i);
    cairo_set_dash(cairo_, dashes.data(), static_cast<int>(dashes.size()), 0);
    line(x, y, x + 22, y, 1.6);
    cairo_set_dash(cairo_, nullptr, 0, 0);
    ink(0.2);
    text_.draw(text_.clip(panel.series[i].name, kMostLabel, kText), x + 28, y, kText);
  }
}

Size FigureCanvas::draw(const LinesPanel& panel) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const LinesPanel::Series& series : panel.series) {
    for (const std::vector<double>* values : {&series.values, &series.low, &series.high}) {
      for (const double value : *values) {
        if (!std::isfinite(value)) continue;
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
  }
  if (panel.shares || !(low <= high)) low = 0, high = 1;
  const double room = high > low ? 0.05 * (high - low) : 1;
  if (panel.ranks)
    high = std::max({high, 2.0, panel.limit});
  else
    low -= room, high += room;
  title(panel.title);
  axis(panel, low, high, kTicks);
  for (size_t i = 0; i < panel.series.size(); ++i) series(panel, i, low, high, kTicks);
  key(panel, kTicks);
  return {kTicks + kPlotWidth + 46 + kMostLabel,
          std::max(kTitleHeight + kPlotHeight + 34,
                   kTitleHeight + 16 + 15 * static_cast<double>(panel.series.size()))};
}

// --- bars

Size FigureCanvas::draw(const BarsPanel& panel) {
  constexpr double kRow = 14, kLength = 260;
  double most = 0, widest = 0;
  bool negative = false;
  for (const BarsPanel::Bar& bar : panel.bars) {
    if (std::isfinite(bar.value)) most = std::max(most, std::abs(bar.value));
    widest = std::max(widest, text_.width(bar.name, kText));
    negative = negative || bar.value < 0;
  }
  const double left = std::min(widest, kMostLabel) + 8, zero = left + (negative ? kLength / 2 : 0),
               full = (negative ? kLength / 2 : kLength) / (most > 0 ? most : 1);
  title(panel.title);
  for (size_t i = 0; i < panel.bars.size(); ++i) {
    const BarsPanel::Bar& bar = panel.bars[i];
    const double y = kTitleHeight + kRow * (static_cast<double>(i) + 0.5),
                 length = std::isfinite(bar.value) ? bar.value * full : 0;
    ink(0.2);
    text_.draw(text_.clip(bar.name, kMostLabel, kText), left - 8, y, kText, Align::kRight);
    text_.draw(std::isfinite(bar.value) ? fmt::format("{:.4g}", bar.value) : "none",
               left + kLength + 8, y, kText);
    color(bar.value < 0 ? "minus" : "plus", 0.7);
    cairo_rectangle(cairo_, std::min(zero, zero + length), y - 4.5, std::abs(length), 9);
    cairo_fill(cairo_);
  }
  const double bottom = kTitleHeight + kRow * static_cast<double>(panel.bars.size());
  ink(0.5);
  line(zero, kTitleHeight, zero, bottom, 0.75);
  text_.draw(panel.value_name, left, bottom + 10, kText);
  return {std::max(left + kLength + 60, std::min(kWide, text_.width(panel.title, kTitle, true))),
          bottom + 18};
}

}  // namespace vitrine::internal
