// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/core/terminal.h"

namespace vitrine::cli {

/// Numbers of either sign in rows and columns, such as layers by tokens. What colours say, the
/// numbers say too: they are percent, with their sign.
struct Heat {
  struct Row {
    std::string label;
    std::vector<double> values;  ///< one a column; NaN where there is nothing
  };
  std::string corner;                ///< what the rows are
  std::vector<std::string> columns;  ///< names
  std::vector<Row> rows;
  double full = 1.0;  ///< the size of a value that has the strongest colour
};

/// The largest finite absolute value; 0 of none.
double largest_size(std::span<const double> values);

/// A line a row; columns that do not fit are left out at the front, and the last line says how
/// many.
std::string draw_heat(const Heat& heat, const Terminal& out);

/// Pieces of a text, one for each value, coloured by it and broken into lines.
std::string draw_heat_text(std::span<const std::string> pieces, std::span<const double> values,
                           double full, const Terminal& out);

/// What the two ends of the colours mean; nothing on a terminal without colours.
std::string heat_legend(const std::string& below, const std::string& above, const Terminal& out);

}  // namespace vitrine::cli
