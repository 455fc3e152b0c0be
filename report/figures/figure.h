// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "report/panels.h"
#include "vitrine/report/figure.h"

namespace vitrine::internal {

/// The panels below each other, as a file's bytes. Cells hold text in pictures of up to 1,200.
/// Throws Error (user) for none, and for more than fits on a picture.
std::string draw_figure(std::vector<Panel> panels, FigureFormat format);

}  // namespace vitrine::internal
