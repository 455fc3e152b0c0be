// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "vitrine/report/figure.h"

namespace vitrine::internal {

// What figures are made of. Texts are valid UTF-8 (see printable()).

/// Rows by columns of coloured cells, with a bar that explains the colours.
struct HeatPanel {
  enum class Kind { kAmount, kDiverging, kRank };
  std::string title, row_name, column_name, value_name;
  std::vector<std::string> rows, columns;  ///< [R], [C] labels; the first row on top
  std::vector<double> values;              ///< [R, C]; NaN: an empty cell
  std::vector<std::string> texts = {};     ///< [R, C] written into cells; empty: nothing is
  Kind kind = Kind::kAmount;
  double limit =
      1;  ///< the full end: of kAmount from 0, of kDiverging from -limit, of kRank the last rank
};

/// Lines over a common axis.
struct LinesPanel {
  struct Series {
    std::string name;
    std::vector<double> values;               ///< one an x; NaN: a gap
    std::vector<double> low = {}, high = {};  ///< a band around them; empty: none
  };
  std::string title, x_name, y_name;
  std::vector<std::string> x;
  std::vector<Series> series;
  bool ranks = false;   ///< a logarithmic axis with 1 on top
  bool shares = false;  ///< an axis from 0 to 1, whatever the values
};

/// Bars from zero to both sides.
struct BarsPanel {
  struct Bar {
    std::string name;
    double value;
  };
  std::string title, value_name;
  std::vector<Bar> bars;
};

/// Rows of dots on a common axis, with zero as a line.
struct DotsPanel {
  struct Row {
    std::string name;
    std::vector<double> values;  ///< NaN: no dot
  };
  std::string title, value_name, zero_name;
  std::vector<Row> rows;
};

/// Upright bars with their names below, in as many rows as they need.
struct ColumnsPanel {
  std::string title, value_name;
  std::vector<std::string> names;
  std::vector<double> values;  ///< not below 0; NaN: no bar
};

/// The largest size among the values, for a panel's limit; 1 where there is none.
double largest_size(const std::vector<double>& values);
/// Rows in reverse, so that the last layer stands on top.
void turn_over(HeatPanel& panel);

using Panel = std::variant<HeatPanel, LinesPanel, BarsPanel, DotsPanel, ColumnsPanel>;

/// The panels below each other, as a file's bytes. Throws Error (user) for none, and for more than
/// fits on a picture.
std::string draw_figure(const std::vector<Panel>& panels, FigureFormat format);

}  // namespace vitrine::internal
