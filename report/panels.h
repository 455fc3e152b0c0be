// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <variant>
#include <vector>

namespace vitrine::internal {

// The diagrams of a result, drawn by the terminal (cli/core/heat.h) and as figures
// (figures/figure.h). Texts are valid UTF-8 (see printable()).

/// Rows by columns of coloured cells, with a bar that explains the colours.
struct HeatPanel {
  enum class Kind { kAmount, kDiverging, kRank };
  /// Another line of labels above the columns.
  struct Heading {
    std::string name;
    std::vector<std::string> labels;  ///< [C]
  };
  std::string title = {}, row_name = {}, column_name = {};
  std::string value_name = {};  ///< empty: a figure has no scale, since texts say it all
  std::vector<std::string> rows = {}, columns = {};  ///< [R], [C] labels
  std::vector<double> values = {};                   ///< [R, C]; NaN: an empty cell
  std::vector<double> errors = {};                   ///< [R, C] standard errors; empty: none
  std::vector<std::string> texts = {};  ///< [R, C] written into cells; empty: nothing is
  Kind kind = Kind::kAmount;
  /// The full end: of kAmount from 0, of kDiverging from -limit, of kRank the last rank.
  double limit = 1;
  std::vector<size_t> borders = {};    ///< columns with a line before them
  bool layers = false;                 ///< rows are layers: pictures have the last one on top
  std::string below = {}, above = {};  ///< what values below and above zero mean, for the legend
  // On a terminal only.
  Heading first = {}, last = {};  ///< headings before and after that of the columns
  std::vector<bool> marks = {};   ///< [R, C] cells with a dot; empty: none
  bool numbers = false;           ///< texts are numbers, at the right
  bool names_at_right = false;    ///< names of columns, as the numbers below them
  std::string corner = {};        ///< name of the line of columns; empty: `row_name`
  std::string cells = {};         ///< what a cell says
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
  std::vector<std::string> notes = {};  ///< [x] short words above the first line; empty: none
  bool ranks = false;                   ///< a logarithmic axis with 1 on top
  double limit = 0;     ///< of ranks: the axis ends there or after; draw_figure() makes it common
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

using Panel = std::variant<HeatPanel, LinesPanel, BarsPanel, DotsPanel, ColumnsPanel>;

/// The largest size among the values, for a panel's limit; 1 where there is none.
double largest_size(const std::vector<double>& values);

}  // namespace vitrine::internal
