// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

#include "cli/core/terminal.h"
#include "report/panels.h"

namespace vitrine::cli {
using namespace internal;

/// A line a row; columns that do not fit are left out at the front, and a line says how many. Then
/// what cells and colours say. Cells without texts are percent of 1, with their sign.
std::string draw_heat(const HeatPanel& panel, const Terminal& out);

/// The same with a block of an eighth to a whole for each cell, and a line of places, which count
/// from `first`.
std::string draw_strip(const HeatPanel& panel, size_t first, const Terminal& out);

/// Pieces of a text, one for each value, coloured by it and broken into lines.
std::string draw_heat_text(std::span<const std::string> pieces, std::span<const double> values,
                           double full, const Terminal& out);

/// What the two ends of the colours mean; nothing on a terminal without colours.
std::string heat_legend(const std::string& below, const std::string& above, const Terminal& out);
std::string rank_legend(const Terminal& out);

}  // namespace vitrine::cli
