// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "report/figures/figure.h"

// Replacement for what draws with Cairo, in builds without it.

namespace vitrine {

bool can_draw_figures() { return false; }

namespace internal {

std::string draw_figure(std::vector<Panel>, FigureFormat) {
  user_error("this build draws no figures: rebuild with Cairo and -DVITRINE_CAIRO=ON");
}

}  // namespace internal
}  // namespace vitrine
