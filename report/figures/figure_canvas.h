// SPDX-License-Identifier: MIT
#pragma once

#include <cairo.h>

#include "report/figures/figure.h"
#include "report/figures/figure_text.h"

namespace vitrine::internal {

struct Size {
  double width = 0, height = 0;
};

/// Draws panels with their upper left corner at the origin, and says how large they were. Lengths
/// are points.
class FigureCanvas {
 public:
  explicit FigureCanvas(cairo_t* cairo) : cairo_(cairo), text_(cairo) {}

  Size draw(const HeatPanel& panel);
  Size draw(const LinesPanel& panel);
  Size draw(const BarsPanel& panel);
  Size draw(const DotsPanel& panel);
  Size draw(const ColumnsPanel& panel);

 private:
  struct HeatLayout;
  void ink(double lightness);
  void color(std::string_view scale, double part);
  void line(double x0, double y0, double x1, double y1, double width);
  void title(const std::string& text);
  HeatLayout layout(const HeatPanel& panel) const;
  void cells(const HeatPanel& panel, const HeatLayout& at);
  void labels(const HeatPanel& panel, const HeatLayout& at);
  void color_bar(const HeatPanel& panel, const HeatLayout& at);
  bool set_cell_color(const HeatPanel& panel, double value);
  void axis(const LinesPanel& panel, double low, double high, double left);
  void series(const LinesPanel& panel, size_t which, double low, double high, double left);
  void key(const LinesPanel& panel, double left);
  void dots(const DotsPanel::Row& row, size_t which, double y, double low, double high,
            double left);
  void columns(const ColumnsPanel& panel, size_t first, size_t end, double most, double bottom);
  void upright(const std::string& text, double x, double y, FigureText::Align align);

  cairo_t* cairo_;
  FigureText text_;
  double luminance_ = 1;  // of the last colour
};

}  // namespace vitrine::internal
