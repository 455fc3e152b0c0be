// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "report/figures/figure_text.h"

namespace vitrine::internal {

// What all panels of a figure have in common. Lengths are points.

using Align = FigureText::Align;

inline constexpr double kText = 9, kTitle = 11, kLabelGap = 5, kTitleHeight = 20;
inline constexpr double kMostLabel = 130, kWide = 560;
inline constexpr double kPlotWidth = 420, kPlotHeight = 200, kTicks = 46;

/// Colours that are told apart, RRGGBB.
inline constexpr std::array<std::string_view, 6> kLines = {"1f6fb5", "c2620b", "7a3fa6",
                                                           "12806a", "b03060", "7d7000"};

/// A channel of the colour at a place of a list of colours, 0..1.
double stop(std::string_view stops, size_t which, size_t channel);

/// As few digits as say it.
std::string number(double value);

/// Ticks at steps of 1, 2 or 5 times a power of ten, with about the given maximum number.
std::vector<double> ticks(double low, double high, double wanted = 5);

}  // namespace vitrine::internal
